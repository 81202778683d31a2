#include "memory.hpp"

#include <algorithm>

namespace divs::nn::cuda {
namespace {

constexpr double gib = 1.0 / (1 << 30);

class DeviceStorage final : public Storage {
  public:
    DeviceStorage(const Device& device, std::size_t bytes)
        : memory_(allocate_device(device, std::max<std::size_t>(bytes, 64), "tensors")), bytes_(bytes) {
        DIVS_CUDA_CALL(cudaMemsetAsync, memory_.get(), 0, std::max<std::size_t>(bytes, 64), device.stream());
    }
    float* data() noexcept override { return static_cast<float*>(memory_.get()); }
    std::size_t bytes() const noexcept override { return bytes_; }

  private:
    DeviceBytes memory_;
    std::size_t bytes_;
};

}  // namespace

DeviceBytes allocate_device(const Device& device, std::size_t bytes, std::string_view purpose) {
    void* memory = nullptr;
    const cudaError_t code = cudaMalloc(&memory, bytes);
    if (code == cudaErrorMemoryAllocation) {
        cudaGetLastError();
        std::size_t free = 0, total = 0;
        DIVS_CUDA_CALL(cudaMemGetInfo, &free, &total);
        throw_error<Error>(
            "out of GPU memory: {} ask for {:.2f} GiB, and {:.2f} of {:.2f} GiB are free on {} ({}); a "
            "smaller "
            "train.batch, frame size, data.mix or data.queue_mib, or model.precision = \"bfloat16\", asks "
            "for less",
            purpose, static_cast<double>(bytes) * gib, static_cast<double>(free) * gib,
            static_cast<double>(total) * gib, device.properties().name, device.pci_bus_id());
    }
    check(code, "cudaMalloc");
    return DeviceBytes(memory);
}

PinnedBytes allocate_pinned(std::size_t bytes, std::string_view purpose) {
    void* memory = nullptr;
    const cudaError_t code = cudaMallocHost(&memory, bytes);
    if (code == cudaErrorMemoryAllocation) {
        cudaGetLastError();
        throw_error<Error>("out of memory that the GPU can copy from: {} ask for {:.2f} GiB", purpose,
                           static_cast<double>(bytes) * gib);
    }
    check(code, "cudaMallocHost");
    return PinnedBytes(memory);
}

std::shared_ptr<Storage> allocate_storage(const Device& device, std::size_t bytes) {
    return std::make_shared<DeviceStorage>(device, bytes);
}

void* GrowingBytes::at_least(std::size_t bytes) {
    if (bytes > bytes_) {
        memory_.reset();
        bytes_ = 0;
        memory_ = allocate_device(device_, bytes, purpose_);
        bytes_ = bytes;
    }
    return memory_.get();
}

}  // namespace divs::nn::cuda
