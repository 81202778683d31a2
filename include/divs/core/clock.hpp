// Time measurement. The clock is the machine's; a program that is simulated links another one in its place.
#pragma once

#include <utility>

namespace divs {

// Seconds of a clock that never goes backwards; only differences mean something.
double now_seconds() noexcept;
// This thread does nothing for so long; nothing at all where that is not above zero.
void sleep_seconds(double seconds);

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
