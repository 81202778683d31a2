// The double of the CUDA runtime: one device, whose memory is the host's.
#include "device_double.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "stream_double.hpp"

namespace divs::kernels::host {
namespace {

thread_local cudaError_t last_error = cudaSuccess;

struct Blocks {
    std::map<void*, std::size_t> sizes;
    std::size_t used = 0;
    void* freed = nullptr;  // kept until the next is, so that what is allocated next lies elsewhere
    ~Blocks() { std::free(freed); }
};
thread_local Blocks blocks;

cudaError_t remember(cudaError_t code) {
    if (code != cudaSuccess) last_error = code;
    return code;
}

// Memory of the host that the device reads and writes by itself, of this process.
struct Pinned {
    std::mutex mutex;
    std::map<const void*, std::size_t> sizes;

    bool holds(const void* at) {
        const std::lock_guard lock(mutex);
        const auto after = sizes.upper_bound(at);
        if (after == sizes.begin()) return false;
        const auto& [begin, size] = *std::prev(after);
        return at < static_cast<const char*>(begin) + size;
    }
};
Pinned& pinned() {
    static Pinned memory;
    return memory;
}

double seconds() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

}  // namespace

DeviceDouble& device() {
    thread_local DeviceDouble device;
    return device;
}

namespace {

// The host waits; a device that is lost is not waited for.
cudaError_t wait_until(const std::function<bool()>& done) {
    if (device().broken == cudaSuccess) device().counts.blocks += late_streams().advance_until(done);
    return device().broken;
}
cudaError_t wait_for_all() {
    return wait_until([] { return late_streams().idle(); });
}

}  // namespace

void queue(cudaStream_t stream, std::function<void()> work) {
    if (device().broken != cudaSuccess) {
        remember(device().broken);
    } else if (stream && stream->recording) {
        stream->recording->work.push_back(std::move(work));
    } else if (stream && stream->late) {
        stream->enqueue([work = std::move(work)] { return work(), true; });
    } else {
        work();
    }
}

}  // namespace divs::kernels::host

using namespace divs::kernels::host;

cudaError_t cudaGetDeviceCount(int* count) {
    if (device().start != cudaSuccess) return remember(device().start);
    *count = device().devices;
    return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
    *properties = {};
    std::snprintf(properties->name, sizeof properties->name, "the host's double of a GPU");
    properties->totalGlobalMem = device().memory;
    properties->sharedMemPerBlockOptin = 227 << 10;
    properties->major = device().major;
    properties->minor = device().minor;
    properties->multiProcessorCount = 4;
    properties->l2CacheSize = 32 << 20;
    return cudaSuccess;
}
cudaError_t cudaDeviceGetPCIBusId(char* text, int length, int number) {
    std::snprintf(text, static_cast<std::size_t>(length), "0000:%02X:00.0", number);
    return cudaSuccess;
}
cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
    *least = 0;
    *greatest = -5;
    return cudaSuccess;
}
cudaError_t cudaSetDevice(int) {
    return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
    *version = device().driver;
    return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
    *version = device().runtime;
    return cudaSuccess;
}
cudaError_t cudaGetLastError() {
    return std::exchange(last_error, cudaSuccess);
}
cudaError_t cudaPeekAtLastError() {
    return last_error;
}
const char* cudaGetErrorString(cudaError_t code) {
    return code == cudaErrorMemoryAllocation ? "out of memory" : "an error of the double";
}
const char* cudaGetErrorName(cudaError_t) {
    return "cudaErrorOfDouble";
}
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
    *total = device().memory;
    *free = device().memory - blocks.used;
    return cudaSuccess;
}

cudaError_t cudaMalloc(void** memory, std::size_t bytes) {
    if (device().broken != cudaSuccess) return remember(device().broken);
    if (blocks.used + bytes > device().memory) return remember(cudaErrorMemoryAllocation);
    const std::size_t rounded = (bytes + 255) / 256 * 256;
    *memory = std::aligned_alloc(256, rounded);
    std::memset(*memory, 0xFF, rounded);
    blocks.sizes[*memory] = bytes;
    blocks.used += bytes;
    ++device().counts.allocations;
    return cudaSuccess;
}
cudaError_t cudaFree(void* memory) {
    if (!memory) return cudaSuccess;
    wait_for_all();
    blocks.used -= blocks.sizes[memory];
    blocks.sizes.erase(memory);
    std::free(std::exchange(blocks.freed, memory));
    return cudaSuccess;
}
cudaError_t cudaMallocHost(void** memory, std::size_t bytes) {
    *memory = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
    const std::lock_guard lock(pinned().mutex);
    pinned().sizes[*memory] = bytes;
    return cudaSuccess;
}
cudaError_t cudaFreeHost(void* memory) {
    wait_for_all();
    const std::lock_guard lock(pinned().mutex);
    pinned().sizes.erase(memory);
    std::free(memory);
    return cudaSuccess;
}
// Pageable memory of the host is taken over before the call returns, and waited for where it is written.
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
    if (bytes == 0) return device().broken;
    const bool late = stream && stream->late && !stream->recording;
    if (late && kind == cudaMemcpyHostToDevice && !pinned().holds(from)) {
        const auto* begin = static_cast<const char*>(from);
        queue(stream, [to, taken = std::vector<char>(begin, begin + bytes)] {
            std::memcpy(to, taken.data(), taken.size());
        });
    } else {
        queue(stream, [=] { std::memmove(to, from, bytes); });
    }
    if (late && kind == cudaMemcpyDeviceToHost && !pinned().holds(to)) return cudaStreamSynchronize(stream);
    return device().broken;
}
cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream) {
    if (bytes > 0) queue(stream, [=] { std::memset(to, value, bytes); });
    return device().broken;
}

// The driver's one function that is asked for: cuCtxGetCurrent.
cudaError_t cudaGetDriverEntryPointByVersion(const char*, void** function, unsigned, unsigned long long,
                                             cudaDriverEntryPointQueryResult* result) {
    static int (*const current_context)(void**) = [](void** context) {
        *context = &device();
        return 0;
    };
    *function = reinterpret_cast<void*>(current_context);
    *result = cudaDriverEntryPointSuccess;
    return cudaSuccess;
}
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned, int) {
    *stream = std::make_unique<CUstream_st>().release();
    if (device().streams != StreamOrder::at_once)
        late_streams().add(**stream, device().streams, device().seed);
    return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    std::unique_ptr<CUstream_st> owner(stream);
    wait_until([&] { return stream->work.empty(); });
    late_streams().remove(*stream);
    return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
    return wait_for_all();
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    ++device().counts.waits;
    if (stream && stream->recording) return remember(cudaErrorStreamCaptureUnsupported);
    return wait_until([&] { return !stream || stream->work.empty(); });
}
// For the event as it was recorded last; one that never was is no reason to wait.
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
    stream->enqueue(
        [state = event->state, turn = event->state->recorded.load()] { return state->reached >= turn; });
    return device().broken;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
    *status = stream && stream->recording ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
    return cudaSuccess;
}
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
    if (stream->recording) return remember(cudaErrorStreamCaptureUnsupported);
    stream->recording = std::make_unique<CUgraph_st>();
    return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
    *graph = stream->recording.release();
    return *graph ? cudaSuccess : remember(cudaErrorStreamCaptureInvalidated);
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* run, cudaGraph_t graph, unsigned long long) {
    *run = std::make_unique<CUgraphExec_st>(CUgraphExec_st{graph->work}).release();
    return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t run, cudaStream_t stream) {
    ++device().counts.graph_launches;
    for (const auto& work : run->work) queue(stream, work);
    return device().broken;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    std::unique_ptr<CUgraph_st> owner(graph);
    return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t run) {
    std::unique_ptr<CUgraphExec_st> owner(run);
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
    *event = std::make_unique<CUevent_st>().release();
    return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
    std::unique_ptr<CUevent_st> owner(event);
    return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    if (device().broken != cudaSuccess) return remember(device().broken);
    queue(stream, [state = event->state, turn = ++event->state->recorded] {
        state->seconds = seconds();
        state->reached = turn;
    });
    return device().broken;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    ++device().counts.waits;
    return wait_until([&] { return event->state->passed(); });
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
    if (device().broken != cudaSuccess) return device().broken;
    late_streams().advance();
    return event->state->passed() ? cudaSuccess : remember(cudaErrorNotReady);
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t first, cudaEvent_t last) {
    if (!first->state->passed() || !last->state->passed()) return remember(cudaErrorNotReady);
    *milliseconds = static_cast<float>(1e3 * (last->state->seconds - first->state->seconds));
    return cudaSuccess;
}
