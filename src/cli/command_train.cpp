// divs train CONFIG.toml
#include <CLI/CLI.hpp>
#include <memory>

#include "commands.hpp"
#include "divs/comm/job.hpp"
#include "divs/core/config.hpp"
#include "divs/core/log.hpp"
#include "divs/train/stop_signal.hpp"
#include "divs/train/trainer.hpp"
#include "repeatable.hpp"

namespace divs::cli {
namespace {

struct TrainArguments {
    std::string config;
    std::vector<std::string> throttles;
    std::string conv, precision;
    bool trace = false;
};

void run_train(const Common& common, const TrainArguments& arguments) {
    auto overrides = common.overrides;
    if (!arguments.conv.empty()) overrides.push_back("model.conv=" + arguments.conv);
    if (!arguments.precision.empty()) overrides.push_back("model.precision=" + arguments.precision);
    Config config(arguments.config, overrides);
    train::Settings settings = train::read_settings(config);
    config.finish();
    for (const std::string& text : arguments.throttles)
        settings.throttles.push_back(train::parse_throttle(text));
    settings.run.trace = settings.run.trace || arguments.trace;
    comm::run_job(settings.world, [&](comm::World& world) {
        log::configure(common.log_level, world.rank(), world.size());
        train::train(world, settings);
        return 0;
    });
}

}  // namespace

void add_train(CLI::App& app, Common& common) {
    CLI::App& command =
        *app.add_subcommand("train", "Train a model; goes on from the newest checkpoint by itself");
    auto arguments = std::make_shared<TrainArguments>();
    command
        .add_option("config", arguments->config,
                    "TOML file; jobs/reference.toml has every key with its default")
        ->required();
    repeatable(command.add_option("--throttle", arguments->throttles,
                                  "RANK=FACTOR[@STEP]: slow a rank down, to try the scheduler"));
    command.add_option("--conv", arguments->conv,
                       "cudnn, divs or auto: whose convolutions a GPU runs (model.conv)");
    command.add_option("--precision", arguments->precision,
                       "float32, tf32 or bfloat16: what a GPU computes in (model.precision)");
    command.add_flag("--trace", arguments->trace,
                     "write trace.json (Chrome trace, all ranks) into the run's folder");
    command.callback([&common, arguments] {
        train::listen_for_stop();
        run_train(common, *arguments);
    });
}

}  // namespace divs::cli
