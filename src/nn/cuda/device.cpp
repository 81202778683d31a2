#include "device.hpp"

#include <array>

namespace divs::nn::cuda {
namespace {

constexpr int oldest_capability = 80;  // what the kernels are compiled for

bool is_final(cudaError_t code) {
    switch (code) {
        case cudaErrorDevicesUnavailable:
        case cudaErrorDeviceUninitialized:
        case cudaErrorECCUncorrectable:
        case cudaErrorHardwareStackError:
        case cudaErrorIllegalAddress:
        case cudaErrorIllegalInstruction:
        case cudaErrorInvalidAddressSpace:
        case cudaErrorInvalidPc:
        case cudaErrorLaunchFailure:
        case cudaErrorLaunchTimeout:
        case cudaErrorMisalignedAddress:
        case cudaErrorNoDevice:
        case cudaErrorNvlinkUncorrectable:
        case cudaErrorUnknown:
            return true;
        default:
            return false;
    }
}

int usable_devices() {
    int devices = 0, driver = 0, runtime = 0;
    const cudaError_t code = cudaGetDeviceCount(&devices);
    if (code == cudaSuccess && devices > 0) return devices;
    cudaDriverGetVersion(&driver);
    cudaRuntimeGetVersion(&runtime);
    cudaGetLastError();  // or the next check would find it
    throw Error(unusable_reason(code == cudaSuccess ? cudaErrorNoDevice : code, driver, runtime));
}

}  // namespace

void check(cudaError_t code, const char* call) {
    if (code == cudaSuccess) return;
    const std::string text =
        fmt::format("{} failed: {} ({})", call, cudaGetErrorString(code), cudaGetErrorName(code));
    if (is_final(code)) throw DeviceLost("the GPU is lost to this process: " + text);
    throw Error(text);
}

std::string version_text(int version) {
    return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

std::string unusable_reason(cudaError_t code, int driver, int runtime) {
    if (driver == 0) return "there is no NVIDIA driver here (libcuda.so.1 is missing or cannot be used)";
    if (code == cudaErrorInsufficientDriver || driver / 1000 < runtime / 1000)
        return fmt::format("the NVIDIA driver is too old: it supports CUDA {}, this build needs {}",
                           version_text(driver), version_text(runtime));
    if (code == cudaErrorNoDevice) return "there is no NVIDIA GPU here (or CUDA_VISIBLE_DEVICES hides it)";
    return fmt::format("CUDA cannot start: {} ({})", cudaGetErrorString(code), cudaGetErrorName(code));
}

StreamHandle make_stream(bool high) {
    int least = 0, greatest = 0;
    DIVS_CUDA_CALL(cudaDeviceGetStreamPriorityRange, &least, &greatest);
    cudaStream_t stream = nullptr;
    DIVS_CUDA_CALL(cudaStreamCreateWithPriority, &stream, cudaStreamNonBlocking, high ? greatest : least);
    return StreamHandle(stream);
}

EventHandle make_event(bool timed) {
    cudaEvent_t event = nullptr;
    DIVS_CUDA_CALL(cudaEventCreateWithFlags, &event, timed ? cudaEventDefault : cudaEventDisableTiming);
    return EventHandle(event);
}

Device::Device(int wanted) : number_(wanted % usable_devices()) {
    DIVS_CUDA_CALL(cudaGetDeviceProperties, &properties_, number_);
    if (capability() < oldest_capability)
        throw_error<Error>("the GPU {} is too old: compute capability {}.{}, expected {}.{} or later",
                           properties_.name, properties_.major, properties_.minor, oldest_capability / 10,
                           oldest_capability % 10);
    activate();
    std::array<char, 32> bus{};
    DIVS_CUDA_CALL(cudaDeviceGetPCIBusId, bus.data(), static_cast<int>(bus.size()), number_);
    pci_bus_id_ = bus.data();
    stream_ = make_stream();
}

std::string Device::description() const {
    int driver = 0, runtime = 0;
    DIVS_CUDA_CALL(cudaDriverGetVersion, &driver);
    DIVS_CUDA_CALL(cudaRuntimeGetVersion, &runtime);
    return fmt::format("{} ({:.0f} GiB, compute capability {}.{}, {}), CUDA {}, driver for CUDA {}",
                       properties_.name, static_cast<double>(properties_.totalGlobalMem) / (1 << 30),
                       properties_.major, properties_.minor, pci_bus_id_, version_text(runtime),
                       version_text(driver));
}

void Device::activate() const {
    DIVS_CUDA_CALL(cudaSetDevice, number_);
}

// By way of the runtime: a program linked with the driver's library does not start where there is none.
void* Device::context() const {
    activate();
    void* function = nullptr;
    cudaDriverEntryPointQueryResult found{};
    DIVS_CUDA_CALL(cudaGetDriverEntryPointByVersion, "cuCtxGetCurrent", &function, 12000, cudaEnableDefault,
                   &found);
    void* context = nullptr;
    if (found != cudaDriverEntryPointSuccess || !function ||
        reinterpret_cast<int (*)(void**)>(function)(&context) != 0 || !context)
        throw Error("the NVIDIA driver does not say which context it works in");
    return context;
}

void Device::synchronise() const {
    DIVS_CUDA_CALL(cudaStreamSynchronize, stream());
}

}  // namespace divs::nn::cuda
