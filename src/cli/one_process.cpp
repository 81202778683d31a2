#include <cstdlib>

#include "commands.hpp"
#include "divs/core/error.hpp"

namespace divs::cli {

void require_one_process(const char* command) {
    // Open MPI, MPICH and its kin, and Slurm's steps (SLURM_NTASKS is set in batch scripts too).
    for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"}) {
        const char* processes = std::getenv(name);
        if (processes && std::atoi(processes) > 1)
            throw_error<ConfigError>("divs {} was started as {} processes, expected one: it uses threads; leave mpirun "
                                     "or srun out",
                                     command, processes);
    }
}

}  // namespace divs::cli
