// Steps on devices that are doubles, each rank with its own, under a fault of NCCL (DIVS_NCCL_DOUBLE) or of a
// device. Run by expect_end.sh.
#include <cstdio>
#include <string>
#include <vector>

#include "divs/comm/buckets.hpp"
#include "divs/comm/job.hpp"
#include "divs/core/log.hpp"
#include "support/device_double.hpp"

using namespace divs::comm;

namespace {

constexpr std::size_t size = 20000;
constexpr int steps = 3;

// As a rank trains: it waits for its device in every step, as it would to read the loss.
int body(World& world, const std::string& fault, double start_seconds) {
    divs::log::configure("info", world.rank(), world.size());
    const std::string gpu = fault == "share" ? "same" : std::to_string(world.rank());
    auto device = std::make_shared<divs::test::DeviceDouble>(divs::DeviceIdentity{"Double", gpu});
    std::vector<float> arena(size);
    ChosenSum chosen = choose_sum(world, arena, device, {true, start_seconds});
    BucketReducer reducer(world, std::move(chosen.sum), {{size / 2, size}, {0, size / 2}});
    for (int step = 0; step < steps; ++step) {
        device->compute([&] { std::fill(arena.begin(), arena.end(), 1.0F); });
        reducer.ready({size / 2, size});
        if (fault == "lose" && world.rank() == 1 && step == 1) device->lose();
        reducer.ready({0, size / 2});
        reducer.join();
        float seen = 0;
        device->compute([&] { seen = arena[0]; });
        device->drain();
        reducer.finish();
        if (seen != static_cast<float>(world.size())) return 99;
    }
    return 0;
}

}  // namespace

// device_fault_program FAULT timeout start_timeout
int main(int argc, char** argv) {
    if (argc != 4) return 2;
    WorldOptions options;
    options.timeout_seconds = std::stod(argv[2]);
    return run_job(options, [&](World& world) { return body(world, argv[1], std::stod(argv[3])); });
}
