// Runs the program as a user does, and collects what it printed.
#pragma once

#include <sys/wait.h>

#include <cstdlib>
#include <string>

#include "support/scratch.hpp"

namespace divs::test {

struct Outcome {
    int status = -1;  // exit status; 128 + signal where a signal ended it; 124 where it ran out of time
    std::string out, err;
    std::string text() const { return out + err; }
};

// Runs a shell command with a time limit.
inline Outcome run_command(const std::string& command, int seconds = 120) {
    // As jobs/mpi_environment.sh has it, for whoever starts a test by hand.
    static constexpr const char* environment[][2] = {
        {"OMPI_ALLOW_RUN_AS_ROOT", "1"},
        {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"},
        {"OMPI_MCA_rmaps_base_oversubscribe", "1"},
        {"OMPI_MCA_hwloc_base_binding_policy", "none"},
        {"PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe"},
        {"PRTE_MCA_hwloc_default_binding_policy", "none"}};
    for (const auto& [name, value] : environment) setenv(name, value, 0);
    const Scratch scratch;
    const std::string out = scratch / "out", err = scratch / "err";
    const std::string limited = "timeout -k 5 " + std::to_string(seconds) + " " + command;
    const int raw = std::system(("exec 2>" + err + " >" + out + " </dev/null; " + limited).c_str());
    Outcome outcome;
    outcome.status = WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
    outcome.out = read_text(out);
    outcome.err = read_text(err);
    return outcome;
}

// `divs ARGUMENTS`, alone or under mpirun. DIVS_PROGRAM is set by the build.
inline std::string divs_command(const std::string& arguments, int ranks = 0) {
    const std::string program = DIVS_PROGRAM;
    if (ranks == 0) return program + " " + arguments;
    return "mpirun -n " + std::to_string(ranks) + " " + program + " " +
           arguments;
}

inline Outcome divs(const std::string& arguments, int ranks = 0, int seconds = 120) {
    return run_command(divs_command(arguments, ranks), seconds);
}

}  // namespace divs::test
