// Bucketed sums against one sum of the arena, as messages and in memory that the ranks share.
#include <algorithm>
#include <memory>
#include <vector>

#include "divs/comm/bucket_tuner.hpp"
#include "divs/comm/buckets.hpp"
#include "divs/core/random.hpp"
#include "mpi/world.hpp"
#include "support/catch.hpp"

using divs::comm::BucketReducer;
using divs::comm::Range;
using divs::comm::SharedMemory;
using divs::test::world;

namespace {

// Integers, so that sums are exact in any order.
std::vector<float> gradients_of(int rank, std::size_t size, std::uint64_t step) {
    const divs::Random random(step, divs::Stream::test, static_cast<std::uint64_t>(rank));
    std::vector<float> values(size);
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

// An arena and the way in which it is summed.
struct Summed {
    Summed(std::size_t size, bool share) : own(share ? 0 : size) {
        if (share) memory = SharedMemory::make(world(), size);
        arena = memory ? memory->part(world().rank()) : std::span(own);
    }
    std::unique_ptr<divs::comm::BucketSum> make_sum() const {
        return memory ? divs::comm::make_shared_sum(world(), memory)
                      : divs::comm::make_host_sum(world(), arena);
    }
    std::vector<float> own;
    std::shared_ptr<SharedMemory> memory;
    std::span<float> arena;
};

bool can_share() {
    return world().size() > 1 && !world().emulates_links();
}

}  // namespace

TEST_CASE("buckets that are summed while others fill give the sum of the arena") {
    const bool overlap = GENERATE(true, false), share = GENERATE(false, true);
    if (share && !can_share()) return;
    const std::size_t size = 100000;
    std::vector<std::size_t> starts;
    for (std::size_t s = 0; s < size; s += 1600) starts.push_back(s);
    const Summed summed(size, share);
    REQUIRE(share == (summed.memory != nullptr));
    const std::span<float> arena = summed.arena;
    BucketReducer reducer(world(), summed.make_sum(), divs::comm::plan_buckets(starts, size, 40000, 10000),
                          overlap);
    for (std::uint64_t step = 0; step < 6; ++step) {
        if (step == 3) reducer.replan(divs::comm::plan_buckets(starts, size, 170000, 6400));
        const auto mine = gradients_of(world().rank(), size, step);
        // Ranks announce in different portions: the sums must meet all the same.
        const divs::Random random(step, divs::Stream::test, static_cast<std::uint64_t>(50 + world().rank()));
        std::size_t low = size;
        for (std::uint64_t i = 0; low > 0 && !(step == 5 && low < 30000); ++i) {
            const std::size_t begin = low - std::min<std::size_t>(low, 1 + random.below(i, 9000));
            std::copy(mine.begin() + static_cast<std::ptrdiff_t>(begin),
                      mine.begin() + static_cast<std::ptrdiff_t>(low),
                      arena.begin() + static_cast<std::ptrdiff_t>(begin));
            reducer.ready({begin, low});
            low = begin;
        }
        // What nobody announced (frozen layers) is summed too.
        std::copy_n(mine.begin(), low, arena.begin());
        const double exposed = reducer.finish();
        CHECK(std::ranges::equal(arena, total(size, step)));
        CHECK(exposed >= 0);
        CHECK(reducer.timings().size() == reducer.buckets().size());
        std::size_t bytes = 0;
        double busy = 0;
        for (const auto& timing : reducer.timings()) {
            bytes += timing.bytes;
            busy += timing.seconds;
        }
        CHECK(bytes == size * sizeof(float));
        CHECK(reducer.busy_seconds() == Approx(busy));
    }
}

TEST_CASE("sums in shared memory are those of the ranks in order, to the bit, wherever buckets are cut") {
    if (!can_share()) return;
    const int size = world().size(), rank = world().rank();
    const auto memory = SharedMemory::make(world(), 5000);
    REQUIRE(memory);
    CHECK(memory->ranks() == size);
    const std::span<float> arena = memory->part(rank);
    CHECK(std::ranges::all_of(arena, [](float value) { return value == 0; }));
    const auto value = [](int r, std::size_t i) {
        return static_cast<float>(
            divs::Random(7, divs::Stream::test, static_cast<std::uint64_t>(r)).normal(i));
    };
    std::vector<float> expected(arena.size());
    for (std::size_t i = 0; i < arena.size(); ++i) {
        expected[i] = value(0, i);
        for (int r = 1; r < size; ++r) expected[i] += value(r, i);
    }
    // Shorter than there are ranks, one cache line, a little more, and what is left.
    const std::vector<Range> buckets{{4999, 5000}, {4996, 4999}, {4980, 4996},
                                     {4963, 4980}, {31, 4963},   {0, 31}};
    const auto sum = divs::comm::make_shared_sum(world(), memory);
    const auto sent = world().bytes().bytes(divs::Tier::cluster);
    for (int step = 0; step < 3; ++step) {
        for (std::size_t i = 0; i < arena.size(); ++i) arena[i] = value(rank, i);
        for (const Range& bucket : buckets) sum->post(bucket);
        sum->join();
        CHECK(std::ranges::equal(arena, expected));
        CHECK(sum->finish().timings.size() == buckets.size());
    }
    // Each element goes from all ranks but one to the one that adds it up, and back.
    std::int64_t bytes = static_cast<std::int64_t>(world().bytes().bytes(divs::Tier::cluster) - sent);
    world().sum(std::span(&bytes, 1)).wait();
    CHECK(bytes == std::int64_t{3} * 2 * (size - 1) * 5000 * 4);
}

TEST_CASE("memory is shared by all ranks or by none") {
    const auto elements = static_cast<std::size_t>(world().rank());
    CHECK(SharedMemory::make(world(), 0) == nullptr);
    CHECK(SharedMemory::make(world(), world().rank() == 0 ? 0 : 64) == nullptr);
    CHECK((SharedMemory::make(world(), 64 + elements) == nullptr));
    CHECK((SharedMemory::make(world(), 64) != nullptr) == can_share());
}

TEST_CASE("a synchronised norm's sum between two buckets does not disturb them") {
    const std::size_t size = 60000;
    std::vector<float> arena = gradients_of(world().rank(), size, 3);
    BucketReducer reducer(world(), arena, {{40000, size}, {20000, 40000}, {0, 20000}});
    for (std::size_t low = size; low > 0; low -= 20000) {
        reducer.ready({low - 20000, low});
        std::vector<double> statistics{1, static_cast<double>(world().rank())};
        world().sum(std::span(statistics), "norm").wait();
        CHECK(statistics[0] == world().size());
        CHECK(statistics[1] == world().size() * (world().size() - 1) / 2);
    }
    reducer.finish();
    CHECK((arena == total(size, 3)));
}

TEST_CASE("what a sum costs is the time of the rank that came last") {
    const int rank = world().rank(), last = world().size() - 1;
    std::vector<BucketReducer::Timing> samples;
    for (int i = 0; i < 5; ++i)  // rank i mod size comes last to sum i; the others waited a second or more
        samples.push_back({std::size_t{1000}, rank == i % (last + 1) ? 0.25 + i : 2.0 + i + rank});
    divs::comm::keep_shortest(world(), samples);
    for (int i = 0; i < 5; ++i) {
        CHECK(samples[static_cast<std::size_t>(i)].seconds == 0.25 + i);
        CHECK(samples[static_cast<std::size_t>(i)].bytes == 1000);
    }
    if (last == 0) return;
    std::vector<BucketReducer::Timing> uneven(rank == 0 ? 2 : 3, {std::size_t{10}, 1.0 + rank});
    divs::comm::keep_shortest(world(), uneven);
    for (const auto& sample : uneven) CHECK(sample.seconds == 1.0 + rank);
}
