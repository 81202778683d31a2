// Buckets that lie on devices, by every path and mixture of paths, against one sum over all ranks' data. The
// devices are doubles that work late and in turns, NCCL is a double over shared memory; DIVS_NCCL names it.
#include <cstdlib>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "divs/comm/buckets.hpp"
#include "divs/core/random.hpp"
#include "mpi/world.hpp"
#include "support/catch.hpp"
#include "support/device_double.hpp"
#include "support/nccl_calls.hpp"

using namespace divs;
using namespace divs::comm;
using divs::test::DeviceDouble;
using divs::test::nccl_calls;
using divs::test::world;

namespace {

// The GPU of each rank; 0: none. Ranks with one number share it.
struct Layout {
    const char* name;
    std::function<int(int rank)> gpu;
};
const std::vector<Layout> layouts{
    {"a GPU each", [](int r) { return r + 1; }},
    {"one GPU for all", [](int) { return 1; }},
    {"two ranks a GPU", [](int r) { return r / 2 + 1; }},
    {"two share, the rest do not", [](int r) { return r < 2 ? 1 : r; }},
    {"rank 0 on its CPU", [](int r) { return r; }},
    {"the last rank on its CPU", [](int r) { return r + 1 < world().size() ? r + 1 : 0; }},
    {"every second rank on its CPU", [](int r) { return r % 2 ? 0 : r + 1; }},
    {"rank 0 alone on a GPU", [](int r) { return r == 0; }},
    {"no GPU", [](int) { return 0; }}};

std::shared_ptr<DeviceDouble> own_device(const Layout& layout) {
    const int gpu = layout.gpu(world().rank());
    if (gpu == 0) return nullptr;
    return std::make_shared<DeviceDouble>(DeviceIdentity{"Double", "0000:0" + std::to_string(gpu) + ":00.0"},
                                          static_cast<std::uint64_t>(world().rank()));
}

// Integers, so that sums are exact in any order. A rank without samples has zeros.
std::vector<float> gradients_of(int rank, std::size_t size, std::uint64_t step) {
    const Random random(step, Stream::test, static_cast<std::uint64_t>(rank));
    std::vector<float> values(size);
    if (step == 2 && rank == 1) return values;
    for (std::size_t i = 0; i < size; ++i) values[i] = static_cast<float>(random.below(i, 2000)) - 1000;
    return values;
}

std::vector<float> total(std::size_t size, std::uint64_t step) {
    std::vector<float> sums(size, 0);
    for (int r = 0; r < world().size(); ++r) {
        const auto values = gradients_of(r, size, step);
        for (std::size_t i = 0; i < size; ++i) sums[i] += values[i];
    }
    return sums;
}

// One rank's arena and how things are computed on it: at once, or queued on the device.
struct Replica {
    Replica(const Layout& layout, std::size_t size, const SumOptions& options = {})
        : device(own_device(layout)), arena(size), chosen(choose_sum(world(), arena, device, options)) {}

    void compute(std::function<void()> work) { device ? device->compute(std::move(work)) : work(); }

    // A backward pass in portions that differ between ranks, then what the optimiser would read.
    std::vector<float> step(BucketReducer& reducer, const std::vector<float>& mine, std::uint64_t number) {
        const Random random(number, Stream::test, static_cast<std::uint64_t>(50 + world().rank()));
        std::size_t low = arena.size();
        for (std::uint64_t i = 0; low > 0; ++i) {
            const std::size_t begin = low - std::min<std::size_t>(low, 1 + random.below(i, 9000));
            compute([this, &mine, begin, low] {
                std::copy(mine.data() + begin, mine.data() + low, arena.data() + begin);
            });
            reducer.ready({begin, low});
            low = begin;
        }
        reducer.join();
        std::vector<float> seen;
        compute([&] { seen = arena; });
        if (device) device->drain();
        CHECK(reducer.finish() >= 0);
        return seen;
    }

    std::shared_ptr<DeviceDouble> device;
    std::vector<float> arena;
    ChosenSum chosen;
};

std::vector<std::size_t> starts_of(std::size_t size) {
    std::vector<std::size_t> starts;
    for (std::size_t s = 0; s < size; s += 1600) starts.push_back(s);
    return starts;
}

void check_log(const PathPlan& plan, const std::string& calls) {
    const auto all = world().all_gather(std::as_bytes(std::span(calls)));
    for (const int rank : plan.nccl_ranks)
        CHECK(
            (all[static_cast<std::size_t>(rank)] == all[static_cast<std::size_t>(plan.nccl_ranks.front())]));
}

}  // namespace

TEST_CASE("sums over devices are the sums, whichever paths the ranks take") {
    const Layout layout = layouts[static_cast<std::size_t>(GENERATE(range(0, 9)))];
    const bool nccl = GENERATE(true, false), overlap = GENERATE(true, false);
    INFO(layout.name);
    const std::size_t size = 40000;
    const std::string before = nccl_calls();
    Replica replica(layout, size, {nccl, 60});
    const PathPlan plan = replica.chosen.plan;
    INFO(plan.describe());
    const auto starts = starts_of(size);
    {
        BucketReducer reducer(world(), std::move(replica.chosen.sum),
                              plan_buckets(starts, size, 20000, 10000), overlap);
        for (std::uint64_t step = 0; step < 4; ++step) {
            if (step == 3) reducer.replan(plan_buckets(starts, size, 70000, 6400));
            const auto mine = gradients_of(world().rank(), size, step);
            CHECK((replica.step(reducer, mine, step) == total(size, step)));
            CHECK(reducer.timings().size() == reducer.buckets().size());
        }
    }
    // All calls came in one order, and every communicator was ended, not aborted.
    const std::string calls = nccl_calls().substr(before.size());
    check_log(plan, calls);
    CHECK(calls.find("abort") == std::string::npos);
    CHECK(calls.empty() == !plan.uses_nccl(world().rank()));
    if (nccl && std::string(layout.name) == "a GPU each" && world().size() > 1) {
        CHECK(plan.nccl_ranks.size() == static_cast<std::size_t>(world().size()));
        CHECK(calls.find("broadcast") == std::string::npos);
    }
}

TEST_CASE("sums of any floats have the same bits on all ranks, devices or not") {
    const Layout layout = layouts[static_cast<std::size_t>(GENERATE(range(0, 9)))];
    INFO(layout.name);
    const std::size_t size = 30000;
    Replica replica(layout, size);
    BucketReducer reducer(world(), std::move(replica.chosen.sum),
                          plan_buckets(starts_of(size), size, 50000, 50000));
    const Random random(5, Stream::test, static_cast<std::uint64_t>(world().rank()));
    std::vector<float> mine(size);
    for (std::size_t i = 0; i < size; ++i) mine[i] = static_cast<float>(random.normal(i));
    const std::vector<float> seen = replica.step(reducer, mine, 0);
    require_equal(world(), std::as_bytes(std::span(seen)), "the sums");
}

TEST_CASE("sums over MPI between buckets on devices keep their turn") {
    const std::size_t size = 20000;
    Replica replica(layouts[0], size);
    BucketReducer reducer(world(), std::move(replica.chosen.sum), {{10000, size}, {0, 10000}});
    for (std::uint64_t step = 0; step < 3; ++step) {
        const auto mine = gradients_of(world().rank(), size, step);
        replica.compute([&] { replica.arena = mine; });
        reducer.ready({10000, size});
        std::vector<double> statistics{1};
        world().sum(std::span(statistics), "norm").wait();
        CHECK(statistics[0] == world().size());
        reducer.ready({0, 10000});
        const Work counts = world().sum(std::span(statistics), "counts");
        reducer.join();
        counts.wait();
        std::vector<float> seen;
        replica.compute([&] { seen = replica.arena; });
        replica.device->drain();
        reducer.finish();
        CHECK((seen == total(size, step)));
        CHECK(statistics[0] == world().size() * world().size());
    }
}

TEST_CASE("values are summed among the buckets, where they lie, and a step is finished once the next is posted") {
    const std::size_t size = 20000, half = 10000, steps = 6;
    const Layout layout = layouts[static_cast<std::size_t>(GENERATE(0, 1, 4))];
    INFO(layout.name);
    const std::string before = nccl_calls();
    Replica replica(layout, size);
    const PathPlan plan = replica.chosen.plan;
    BucketReducer reducer(world(), std::move(replica.chosen.sum), {{half, size}, {0, half}});
    CHECK(reducer.sums_values() == plan.mpi_ranks.empty());
    if (!reducer.sums_values()) return;

    // What is seen on the device's queue, in the order of computing, without the host waiting for any of it.
    struct Seen {
        std::vector<float> mine, sums;
        std::vector<double> forward, backward;
    };
    std::vector<Seen> seen(steps);
    std::vector<double> forward, backward;  // on the device
    forward.resize(101);
    backward.resize(100);
    const auto values_of = [](int rank, std::uint64_t step) {
        return step == 2 && rank == 1 ? 0.0 : static_cast<double>(rank + 1) * static_cast<double>(step + 1);
    };
    for (std::uint64_t step = 0; step < steps; ++step) {
        Seen& now = seen[step];
        now.mine = gradients_of(world().rank(), size, step);
        const double mine = values_of(world().rank(), step);
        replica.compute([&, mine] { std::fill(forward.begin(), forward.end(), mine); });
        reducer.sum(forward);
        replica.compute([&] {
            now.forward = forward;
            std::copy_n(now.mine.data() + half, half, replica.arena.data() + half);
        });
        reducer.ready({half, size});
        replica.compute([&, mine] { std::fill(backward.begin(), backward.end(), -mine); });
        reducer.sum(backward);
        replica.compute([&] {
            now.backward = backward;
            std::copy_n(now.mine.data(), half, replica.arena.data());
        });
        reducer.ready({0, half});
        if (step > 0) {
            CHECK(reducer.finish() >= 0);
            CHECK(reducer.values_seconds() > 0);
            CHECK(reducer.timings().size() == 2);
        }
        reducer.join();
        CHECK_THROWS_AS(reducer.join(), Error);
        replica.compute([&] { now.sums = replica.arena; });
    }
    reducer.finish();
    replica.device->drain();
    for (std::uint64_t step = 0; step < steps; ++step) {
        double expected = 0;
        for (int r = 0; r < world().size(); ++r) expected += values_of(r, step);
        CHECK((seen[step].forward == std::vector<double>(101, expected)));
        CHECK((seen[step].backward == std::vector<double>(100, -expected)));
        CHECK((seen[step].sums == total(size, step)));
    }
    check_log(plan, nccl_calls().substr(before.size()));
}
