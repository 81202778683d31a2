// Kernel sources include this name; on the host it is the same double.
#pragma once

#include "cuda_runtime_api.h"
