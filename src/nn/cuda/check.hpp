// The one place that turns the CUDA runtime's error codes into exceptions.
#pragma once

#include <cuda_runtime_api.h>

#include "divs/core/error.hpp"

namespace divs::nn::cuda {

// The device is gone or its context is broken: nothing more can be done on it in this process.
struct DeviceLost : Error {
    explicit DeviceLost(const std::string& message) : Error(message) {}
};

// Throws where a call failed: DeviceLost where no later call can succeed, Error else. The message names the
// call.
void check(cudaError_t code, const char* call);

}  // namespace divs::nn::cuda

// DIVS_CUDA_CALL(cudaMalloc, &p, bytes): calls, and throws an Error that names the call.
#define DIVS_CUDA_CALL(call, ...) ::divs::nn::cuda::check(call(__VA_ARGS__), #call)
// After a kernel's launch: a launch that the device refused shows here.
#define DIVS_CUDA_LAUNCHED(what) ::divs::nn::cuda::check(cudaGetLastError(), what)
