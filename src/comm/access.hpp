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
    // What the thread that communicates looks at beside the operations, until it is true: see Engine.
    static Work watch(World& world, std::string_view what, std::function<bool()> through);
    static Watchdog& watchdog(World& world);
};

}  // namespace divs::comm
