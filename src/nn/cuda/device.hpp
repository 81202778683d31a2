// The GPU of this rank: its number, its compute stream and what it is. Everything of the backend that touches
// the device holds a reference to one Device.
#pragma once

#include <string>

#include "handles.hpp"

namespace divs::nn::cuda {

class Device {
  public:
    // Opens device number `wanted` modulo the number of devices that this process sees, so that ranks of one
    // host may pass their number in it. Error, in words for people, where there is no driver, one that is too
    // old for this build, no device, or one that is too old.
    explicit Device(int wanted);
    Device(const Device&) = delete;

    int number() const noexcept { return number_; }
    cudaStream_t stream() const noexcept { return stream_.get(); }  // all work of the backend, in order
    const cudaDeviceProp& properties() const noexcept { return properties_; }
    int multiprocessors() const noexcept { return properties_.multiProcessorCount; }
    int capability() const noexcept { return properties_.major * 10 + properties_.minor; }  // 90 is 9.0
    const std::string& pci_bus_id() const noexcept { return pci_bus_id_; }  // "0000:1B:00.0": ranks may share
    std::string description() const;

    // Makes it the calling thread's device; each thread that calls CUDA does this once.
    void activate() const;
    // The driver's name for what this process has on the device: a CUcontext, for libraries that ask for it.
    void* context() const;
    // Waits for all work on the compute stream; errors of earlier kernels come out here.
    void synchronise() const;

  private:
    int number_ = 0;
    cudaDeviceProp properties_{};
    std::string pci_bus_id_;
    StreamHandle stream_;
};

// "13.0" from 13000.
std::string version_text(int version);
// Why CUDA cannot be used here, for what its first call returned: no driver, a driver of version `driver`
// where this program needs `runtime`, no device, ...
std::string unusable_reason(cudaError_t code, int driver, int runtime);

}  // namespace divs::nn::cuda
