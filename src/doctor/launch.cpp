// Whether the ranks are one program, and how they were started.
#include <fmt/format.h>

#include <cstdlib>

#include "checks.hpp"
#include "divs/comm/library.hpp"
#include "divs/comm/program.hpp"
#include "divs/core/units.hpp"
#include "divs/train/versions.hpp"

namespace divs::doctor {
namespace {

constexpr const char* launcher_variables[] = {
    "OMPI_COMM_WORLD_SIZE", "PMIX_RANK",     "PMIX_NAMESPACE",       "PMI_RANK",      "PMI_SIZE",
    "SLURM_JOB_ID",         "SLURM_STEP_ID", "SLURM_STEP_NUM_TASKS", "SLURM_MPI_TYPE"};

std::string value_of(const Environment& environment, const std::string& name) {
    const auto found = environment.find(name);
    return found == environment.end() ? "" : found->second;
}

}  // namespace

void check_program(Patient& patient, Notes& notes) {
    const comm::Versions mine = train::library_versions();
    const auto differences = comm::compare_versions(patient.world, mine);
    if (!patient.is_root()) return;
    bool is_one_program = true;
    for (const auto& difference : differences)
        if (difference.name == "divs") {
            is_one_program = false;
            notes.error("program", "the ranks run different programs: " + difference.text,
                        "install one of them on all hosts; training refuses to start like this");
        } else {
            notes.warning("libraries", "the ranks use different libraries: " + difference.text,
                          "install the same packages on all hosts, if results must not depend on the host");
        }
    if (is_one_program) notes.ok("program", "divs " + mine.at("divs"));
}

std::vector<Finding> judge_launch(const Environment& environment, int ranks) {
    // In a batch script SLURM_STEP_* is not set, in a step it is, whatever mpirun does inside.
    int started = 1;
    std::string launcher;
    for (const auto& [name, who] : {std::pair{"OMPI_COMM_WORLD_SIZE", "mpirun"},
                                    {"PMI_SIZE", "a PMI launcher"},
                                    {"SLURM_STEP_NUM_TASKS", "srun"}}) {
        const std::string value = value_of(environment, name);
        if (value.empty() || !launcher.empty()) continue;
        launcher = who;
        started = std::atoi(value.c_str());
    }
    const bool has_pmix = !value_of(environment, "PMIX_RANK").empty();
    const bool has_pmi = !value_of(environment, "PMI_RANK").empty();
    if (started > 1 && ranks == 1) {
        const std::string how =
            launcher == "srun"
                ? "srun --mpi=pmix (srun --mpi=list shows what the site has), or mpirun inside the allocation"
                : "use the mpirun that belongs to the MPI library above";
        return {{Level::error,
                 "launcher",
                 fmt::format("{} started {} processes, but MPI makes each a job of its own: it got no {} "
                             "from the launcher",
                             launcher, started, has_pmi ? "PMIx, only PMI," : "PMIx"),
                 how,
                 {}}};
    }
    std::string text = launcher.empty() ? "no launcher: one process"
                                        : fmt::format("{}, {}", launcher,
                                                      count_text(static_cast<std::size_t>(ranks), "rank"));
    if (!launcher.empty())
        text += has_pmix ? ", through PMIx" : has_pmi ? ", through PMI" : "";  // alone, MPI sets them
    if (const std::string job = value_of(environment, "SLURM_JOB_ID"); !job.empty())
        text += ", in Slurm job " + job;
    return {{Level::ok, "launcher", text, {}, {}}};
}

void check_launch(Patient& patient, Notes& notes) {
    notes.ok("MPI", comm::mpi_library());
    if (!patient.is_root()) return;
    Environment environment;
    for (const char* name : launcher_variables)
        if (const char* value = std::getenv(name)) environment[name] = value;
    notes.add(judge_launch(environment, patient.world.size()));
}

}  // namespace divs::doctor
