// Memory of the device, and pinned memory of the host that the device copies from and to by itself.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "device.hpp"
#include "divs/nn/tensor.hpp"

namespace divs::nn::cuda {

struct FreeDevice {
    void operator()(void* memory) const noexcept { cudaFree(memory); }
};
struct FreePinned {
    void operator()(void* memory) const noexcept { cudaFreeHost(memory); }
};
using DeviceBytes = std::unique_ptr<void, FreeDevice>;
using PinnedBytes = std::unique_ptr<void, FreePinned>;

// Not zeroed. `purpose` names what asks, for the Error that says how much was asked for and how much is free.
DeviceBytes allocate_device(const Device& device, std::size_t bytes, std::string_view purpose);
PinnedBytes allocate_pinned(std::size_t bytes, std::string_view purpose);

// Zeroed, in the order of the device's stream. It holds on to the device's memory, not to the Device: what
// frees it last waits for the work that uses it (cudaFree does).
std::shared_ptr<Storage> allocate_storage(const Device& device, std::size_t bytes);

// Device memory that grows on demand and never shrinks: scratch of a backend that no operation owns.
class GrowingBytes {
  public:
    GrowingBytes(const Device& device, std::string_view purpose) : device_(device), purpose_(purpose) {}
    void* at_least(std::size_t bytes);

  private:
    const Device& device_;
    std::string_view purpose_;
    DeviceBytes memory_;
    std::size_t bytes_ = 0;
};

}  // namespace divs::nn::cuda
