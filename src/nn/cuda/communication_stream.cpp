#include "communication_stream.hpp"

#include "memory.hpp"

namespace divs::nn::cuda {
namespace {

// Timed: the time between events tells how much of communication is exposed.
struct Mark final : DeviceMark {
    EventHandle event = make_event(true);
};

cudaEvent_t event_of(const DeviceMark& mark) {
    return static_cast<const Mark&>(mark).event.get();
}

class Pinned final : public PinnedMemory {
  public:
    explicit Pinned(std::size_t elements)
        : memory_(allocate_pinned(elements * sizeof(float), "gradients on their way to other ranks")),
          elements_(elements) {}
    std::span<float> values() noexcept override { return {static_cast<float*>(memory_.get()), elements_}; }

  private:
    PinnedBytes memory_;
    std::size_t elements_;
};

// Threads of two kinds call it, and each must have the device as its own; making it so again costs next to
// nothing.
class CommunicationStream final : public DeviceStream {
  public:
    // Served before compute: its kernels are few and short, and others wait for them.
    explicit CommunicationStream(const Device& device)
        : device_(device),
          identity_{device.properties().name, device.pci_bus_id()},
          stream_(make_stream(true)) {}

    const DeviceIdentity& identity() const noexcept override { return identity_; }
    void* handle() const noexcept override { return stream_.get(); }
    void activate() override { device_.activate(); }

    std::unique_ptr<DeviceMark> make_mark() override {
        activate();
        return std::make_unique<Mark>();
    }
    std::unique_ptr<PinnedMemory> allocate_pinned(std::size_t elements) override {
        activate();
        return std::make_unique<Pinned>(elements);
    }

    void mark_compute(DeviceMark& mark) override { record(mark, device_.stream()); }
    void mark(DeviceMark& mark) override { record(mark, stream_.get()); }
    void wait_for(DeviceMark& mark) override { wait(stream_.get(), mark); }
    void compute_waits_for(DeviceMark& mark) override { wait(device_.stream(), mark); }

    void copy_to_host(std::span<float> pinned, std::span<const float> device) override {
        copy(pinned.data(), device.data(), device.size_bytes(), cudaMemcpyDeviceToHost);
    }
    void copy_to_device(std::span<float> device, std::span<const float> pinned) override {
        copy(device.data(), pinned.data(), pinned.size_bytes(), cudaMemcpyHostToDevice);
    }

    bool reached(const DeviceMark& mark) override {
        activate();
        const cudaError_t code = cudaEventQuery(event_of(mark));
        if (code == cudaErrorNotReady) {
            cudaGetLastError();  // it is no error, but would be found as one
            return false;
        }
        check(code, "cudaEventQuery");
        return true;
    }
    double seconds_between(const DeviceMark& first, const DeviceMark& second) override {
        activate();
        float milliseconds = 0;
        DIVS_CUDA_CALL(cudaEventElapsedTime, &milliseconds, event_of(first), event_of(second));
        return 1e-3 * static_cast<double>(milliseconds);
    }

  private:
    void record(DeviceMark& mark, cudaStream_t stream) {
        activate();
        DIVS_CUDA_CALL(cudaEventRecord, event_of(mark), stream);
    }
    void wait(cudaStream_t stream, DeviceMark& mark) {
        activate();
        DIVS_CUDA_CALL(cudaStreamWaitEvent, stream, event_of(mark), 0);
    }
    void copy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
        activate();
        DIVS_CUDA_CALL(cudaMemcpyAsync, to, from, bytes, kind, stream_.get());
    }

    const Device& device_;
    const DeviceIdentity identity_;
    StreamHandle stream_;
};

}  // namespace

std::shared_ptr<DeviceStream> make_communication_stream(const Device& device) {
    device.activate();
    return std::make_shared<CommunicationStream>(device);
}

}  // namespace divs::nn::cuda
