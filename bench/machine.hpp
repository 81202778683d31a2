// What a paced job runs on: this machine, or one that SimGrid simulates by a description. Which of the two is
// a matter of what is linked (machine.cpp or simulate/machine.cpp).
#pragma once

#include <cstddef>
#include <span>

#include "divs/comm/world.hpp"

namespace divs::bench {

struct Machine {
    bool simulated = false;
    comm::WorldOptions world;  // how communication runs there
};

Machine machine();

// Zeroed floats. `shared`: simulated ranks have the same ones, as a thousand times a model's gradients fit
// nowhere; what their sums give means nothing then. Ranks that are not simulated never share.
class Floats {
  public:
    Floats(std::size_t size, bool shared);
    ~Floats();
    Floats(const Floats&) = delete;

    std::span<float> values() noexcept { return {data_, size_}; }

  private:
    float* data_ = nullptr;
    std::size_t size_;
    bool shared_;
};

}  // namespace divs::bench
