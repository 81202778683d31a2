// Time measurement.
#pragma once

#include <chrono>
#include <utility>

namespace divs {

// Seconds of a clock that never goes backwards; only differences mean something.
inline double now_seconds() noexcept {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

class Stopwatch {
  public:
    double seconds() const noexcept { return now_seconds() - start_; }
    // Seconds since construction or the last lap.
    double lap() noexcept {
        const double now = now_seconds();
        return now - std::exchange(start_, now);
    }

  private:
    double start_ = now_seconds();
};

}  // namespace divs
