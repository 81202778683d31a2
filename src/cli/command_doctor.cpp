// divs doctor [CONFIG.toml]
#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "commands.hpp"
#include "divs/comm/job.hpp"
#include "divs/core/config.hpp"
#include "divs/core/error.hpp"
#include "divs/core/log.hpp"
#include "divs/doctor/doctor.hpp"

namespace divs::cli {
namespace {

struct DoctorArguments {
    std::string config, folder;
    double megabytes = 64;
    bool json = false;
};

void run_doctor(const Common& common, const DoctorArguments& arguments) {
    doctor::Examination examination;
    comm::WorldOptions world_options;
    if (!arguments.config.empty()) {
        Config config(arguments.config, common.overrides);
        examination.settings = train::read_settings(config);
        world_options = examination.settings->world;
        config.finish();
        examination.folder = examination.settings->run.folder;
    }
    if (!arguments.folder.empty()) examination.folder = arguments.folder;
    examination.megabytes = arguments.megabytes;
    const int errors = comm::run_job(world_options, [&](comm::World& world) {
        log::configure(common.log_level, world.rank(), world.size());
        const doctor::Diagnosis diagnosis = doctor::examine(world, examination);
        if (world.rank() == 0)
            std::cout << (arguments.json ? diagnosis.json() : diagnosis.text()) << std::flush;
        return diagnosis.count(doctor::Level::error);
    });
    if (errors > 0) throw_error<Error>("{} error(s) found", errors);
}

}  // namespace

void add_doctor(CLI::App& app, Common& common) {
    CLI::App& command = *app.add_subcommand("doctor",
                                            "What is wrong with this machine, launch or configuration, and "
                                            "how to mend it; alone or under mpirun");
    auto arguments = std::make_shared<DoctorArguments>();
    command.add_option("config", arguments->config,
                       "TOML file of a training: its data and folder are looked at too");
    command.add_option("--folder", arguments->folder,
                       "where checkpoints will go; else train.folder, else ./run");
    command.add_option("--megabytes", arguments->megabytes, "that disk and allreduce are tried with")
        ->check(CLI::Range(1.0, 4096.0));
    command.add_flag("--json", arguments->json, "as JSON");
    command.callback([&common, arguments] { run_doctor(common, *arguments); });
}

}  // namespace divs::cli
