// The simulated clock, in place of core/clock.cpp.
#include "divs/core/clock.hpp"

#include <simgrid/actor.h>
#include <simgrid/engine.h>

namespace divs {

double now_seconds() noexcept {
    return simgrid_get_clock();
}

void sleep_seconds(double seconds) {
    if (seconds > 0) sg_actor_sleep_for(seconds);
}

}  // namespace divs
