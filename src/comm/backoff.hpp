// How a thread waits for messages without holding a core that somebody else could compute on.
#pragma once

#include <sched.h>
#include <sys/prctl.h>

#include <algorithm>

#include "divs/core/clock.hpp"

namespace divs::comm {

// Spins for a moment, giving the core away each time, then sleeps for a share of the time already waited: a
// wait costs at most about 1/8 more than it had to, and next to no processor time.
class Backoff {
  public:
    void reset() noexcept { waiting_ = false; }

    // `due`: now_seconds() at which something is known to happen.
    void wait(double due) {
        const double now = now_seconds();
        if (!waiting_) since_ = now;
        waiting_ = true;
        const double waited = now - since_;
        if (due > now && due - now < 1e9) return sleep_seconds(std::min(due - now, longest));
        if (waited < spin) {
            sched_yield();
            return;
        }
        sleep_seconds(std::clamp(waited / 8, shortest, longest));
    }

    // Sleeps of this thread end within a microsecond of the time asked for, not within the system's usual 50.
    static void sharpen_sleep() noexcept { prctl(PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL, 0UL); }

  private:
    static constexpr double spin = 20e-6, shortest = 5e-6, longest = 1e-3;  // seconds

    bool waiting_ = false;
    double since_ = 0;
};

}  // namespace divs::comm
