// A plain array of a backend (an arena, optimiser state) as the host sees it.
#pragma once

#include <span>
#include <vector>

#include "divs/nn/backend.hpp"

namespace divs::nn {

class HostView {
  public:
    // The array itself where the backend keeps it in host memory, else a copy as it is now.
    HostView(Backend& backend, std::span<float> array) : backend_(backend), array_(array) {
        if (backend.host_memory()) return;
        copy_.resize(array.size());
        backend.read(array, copy_.data());
    }
    HostView(HostView&&) = default;

    std::span<float> values() noexcept { return copy_.empty() ? array_ : std::span<float>(copy_); }
    // What was changed in values() becomes what the backend computes with.
    void write_back() {
        if (backend_.host_memory())
            backend_.touched(array_);
        else
            backend_.write(copy_.data(), array_);
    }

  private:
    Backend& backend_;
    std::span<float> array_;
    std::vector<float> copy_;
};

}  // namespace divs::nn
