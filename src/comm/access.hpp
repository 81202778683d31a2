// What the rest of this room may do with a World beyond its public calls.
#pragma once

#include <functional>
#include <string_view>

#include "divs/comm/world.hpp"
#include "task.hpp"

namespace divs::comm {

class Channel;
class Watchdog;

struct WorldAccess {
    // An operation written over messages, numbered, run in its turn and watched like any other. Every rank
    // posts it.
    static Work post(World& world, std::string_view what, std::function<Task(Channel&)> start);
    static Watchdog& watchdog(World& world);
};

}  // namespace divs::comm
