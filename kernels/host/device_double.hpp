// What tests ask of the double of the CUDA runtime, and how its kernels run.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <functional>

namespace divs::kernels::host {

// In which order the threads of a block, and the blocks of a grid, get their turns. A kernel that is right
// gives the same numbers in all of them; one that lacks a barrier does not.
enum class ThreadOrder { forward, reverse, shuffled };

// When the work of streams is done; see stream_double.hpp. Of late ones that could all go on, the oldest does
// (the one that computes), or the youngest, or one that is drawn.
enum class StreamOrder { at_once, oldest_first, youngest_first, shuffled };

struct Counts {
    std::int64_t allocations = 0;  // of device memory
    std::int64_t waits = 0;        // of the host for the device
    std::int64_t blocks = 0;       // those of them for which late work was left to do
    std::int64_t launches = 0;     // of kernels, graphs' own included
    std::int64_t graph_launches = 0;
};

struct DeviceDouble {
    ThreadOrder order = ThreadOrder::forward;
    StreamOrder streams = StreamOrder::at_once;  // of those made from here on
    std::uint64_t seed = 1;                      // of a shuffled order
    // What the runtime reports.
    cudaError_t start = cudaSuccess;  // of cudaGetDeviceCount
    int devices = 1, driver = 13000, runtime = 13000;
    int major = 9, minor = 0;
    std::size_t memory = std::size_t{8} << 30;  // of the device; more is refused
    cudaError_t broken = cudaSuccess;           // what every launch and copy reports: a device that is lost
    Counts counts;
};

// The one device of this process's calling thread; put back to its defaults by `device() = {}`.
DeviceDouble& device();

// Runs now, or later (stream_double.hpp), or when the graph runs that the stream is recording.
void queue(cudaStream_t stream, std::function<void()> work);

}  // namespace divs::kernels::host
