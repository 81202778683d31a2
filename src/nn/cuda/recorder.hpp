// Records what is queued on the device's stream as a CUDA graph, which is then queued as one piece.
#pragma once

#include <memory>
#include <vector>

#include "device.hpp"
#include "divs/nn/backend.hpp"

namespace divs::nn::cuda {

class GraphRecorder final : public Recorder {
  public:
    // `loss_queued` is recorded behind each graph that has a loss in it.
    GraphRecorder(const Device& device, cudaEvent_t loss_queued)
        : device_(device), loss_queued_(loss_queued) {}

    void begin() override;
    std::unique_ptr<Recorded> end() override;
    void abandon() noexcept override;

    bool recording() const noexcept { return recording_; }
    void has_loss() noexcept { has_loss_ = true; }  // the stretch being recorded

  private:
    const Device& device_;
    cudaEvent_t loss_queued_;
    bool recording_ = false, has_loss_ = false;
};

}  // namespace divs::nn::cuda
