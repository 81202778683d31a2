// Runs the threads of one CUDA block on one thread of the host, each on a stack of its own, so that barriers,
// shuffles and votes mean what they mean on a GPU: a thread that waits gives its turn to another.
#pragma once

#include <cstdint>
#include <functional>

#include "cuda_runtime_api.h"
#include "device_double.hpp"

// Where the running thread stands, as CUDA names it.
inline thread_local dim3 threadIdx, blockIdx, blockDim, gridDim;
inline constexpr int warpSize = 32;

namespace divs::kernels::host {

// Calls body() once for each thread of each block. Error where threads wait for others that never come: a
// barrier that not all threads of the block reach, or a shuffle whose mask names a thread that has ended.
void run_grid(dim3 grid, dim3 block, std::size_t shared_bytes, const std::function<void()>& body);

void wait_for_block();                   // __syncthreads
void wait_for_warp(std::uint32_t mask);  // __syncwarp
void* block_shared();                    // dynamic shared memory; NaNs at the start of each block
// One slot of 8 bytes for each thread of the block, to hand a value to the others of its warp.
std::uint64_t& warp_slot(int lane);
int warp_lane();

}  // namespace divs::kernels::host
