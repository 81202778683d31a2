// Bucketed sums against one sum of the arena.
#include <vector>

#include "divs/comm/bucket_tuner.hpp"
#include "divs/comm/buckets.hpp"
#include "divs/core/random.hpp"
#include "mpi/world.hpp"
#include "support/catch.hpp"

using divs::comm::BucketReducer;
using divs::comm::Range;
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

}  // namespace

TEST_CASE("buckets that are summed while others fill give the sum of the arena") {
    const bool overlap = GENERATE(true, false);
    const std::size_t size = 100000;
    std::vector<std::size_t> starts;
    for (std::size_t s = 0; s < size; s += 1600) starts.push_back(s);
    std::vector<float> arena(size);
    BucketReducer reducer(world(), arena, divs::comm::plan_buckets(starts, size, 40000, 10000), overlap);
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
        CHECK((arena == total(size, step)));
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
