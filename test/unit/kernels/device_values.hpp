// Values in the memory of the device at hand, or of its double.
#pragma once

#include <cuda_runtime_api.h>

#include <span>
#include <stdexcept>
#include <vector>

namespace divs::kernels::test {

inline void require_cuda(cudaError_t code) {
    if (code != cudaSuccess) throw std::runtime_error(cudaGetErrorString(code));
}

// After all that the device has to do; on every stream.
template <class T>
std::vector<T> read_device(const T* from, std::size_t count) {
    std::vector<T> values(count);
    require_cuda(cudaDeviceSynchronize());
    require_cuda(cudaMemcpyAsync(values.data(), from, count * sizeof(T), cudaMemcpyDeviceToHost, nullptr));
    require_cuda(cudaStreamSynchronize(nullptr));
    return values;
}

template <class T>
class DeviceValues {
  public:
    explicit DeviceValues(const std::vector<T>& values) : size_(values.size()) {
        void* memory = nullptr;
        require_cuda(cudaMalloc(&memory, size_ * sizeof(T)));
        memory_ = static_cast<T*>(memory);
        write(values);
    }
    ~DeviceValues() { cudaFree(memory_); }
    DeviceValues(const DeviceValues&) = delete;
    DeviceValues& operator=(const DeviceValues&) = delete;

    T* data() const noexcept { return memory_; }
    std::span<T> span() const noexcept { return {memory_, size_}; }
    std::vector<T> read() const { return read_device<T>(memory_, size_); }
    void write(const std::vector<T>& values) {
        require_cuda(cudaMemcpyAsync(memory_, values.data(), size_ * sizeof(T), cudaMemcpyHostToDevice, nullptr));
        require_cuda(cudaStreamSynchronize(nullptr));
    }

  private:
    T* memory_ = nullptr;
    std::size_t size_;
};

}  // namespace divs::kernels::test
