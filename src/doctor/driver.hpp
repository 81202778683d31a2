// The NVIDIA driver and what else of CUDA is on the machine, asked through the libraries themselves: they are
// opened at run time, so that a machine without them is examined too.
#pragma once

#include "checks.hpp"

namespace divs::doctor {

RankGpus find_gpus();  // all but rank and host

}  // namespace divs::doctor
