// Paced ranks on threads of one process, where no MPI is started.
#pragma once

#include <functional>

#include "paced_job.hpp"

namespace divs::bench {

// Runs `body` on `ranks` threads that stand for ranks; the first error is thrown again.
void on_threads(int ranks, const std::function<void(Link&)>& body);

}  // namespace divs::bench
