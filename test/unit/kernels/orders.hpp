// Runs a check under every order of threads and blocks that the double of the device knows.
#pragma once

#include <random>

#include "kernels/host/device_double.hpp"
#include "support/catch.hpp"

namespace divs::test {

// Of this run: fresh numbers each time, printed with whatever fails.
inline std::uint64_t run_seed() {
    static const std::uint64_t seed = std::random_device{}();
    return seed;
}

template <class Check>
void in_all_orders(Check check) {
    using kernels::host::ThreadOrder;
    for (const auto& [order, name] :
         {std::pair{ThreadOrder::forward, "forward"}, std::pair{ThreadOrder::reverse, "reverse"},
          std::pair{ThreadOrder::shuffled, "shuffled"}}) {
        kernels::host::device().order = order;
        kernels::host::device().seed = run_seed();
        INFO("threads in order: " << name << ", seed " << run_seed());
        check();
    }
    kernels::host::device() = {};
}

// Every order in which the double of the device works off its streams; each runs the test case anew.
class InStreamOrders {
  public:
    InStreamOrders() {
        using kernels::host::StreamOrder;
        kernels::host::device().streams = GENERATE(StreamOrder::at_once, StreamOrder::oldest_first,
                                                   StreamOrder::youngest_first, StreamOrder::shuffled);
        kernels::host::device().seed = run_seed();
    }
    ~InStreamOrders() { kernels::host::device() = {}; }
    InStreamOrders(const InStreamOrders&) = delete;
    InStreamOrders& operator=(const InStreamOrders&) = delete;
};

}  // namespace divs::test
