// A program's body under MPI, with errors that end the whole job.
#pragma once

#include <functional>

#include "divs/comm/world.hpp"

namespace divs::comm {

// Makes a World and runs the body in it. What the body throws, on one rank or on all, is printed with rank
// and host and ends all ranks of the job with its exit code (ExitCode::failure where it has none); a job of
// one rank throws it on. Returns the body's result.
int run_job(const WorldOptions& options, const std::function<int(World&)>& body);

}  // namespace divs::comm
