#include <algorithm>
#include <vector>

#include "divs/comm/buckets.hpp"
#include "divs/core/error.hpp"
#include "divs/core/random.hpp"
#include "support/catch.hpp"

using divs::Random;
using divs::comm::BucketCursor;
using divs::comm::plan_buckets;
using divs::comm::Range;

namespace {

struct Arena {
    std::vector<std::size_t> starts;
    std::size_t size = 0;
};

// Parameters of random lengths, each aligned to 16 elements, a few of them huge.
Arena random_arena(std::uint64_t seed) {
    const Random random(seed, divs::Stream::test);
    Arena arena;
    const std::uint64_t count = 1 + random.below(0, 60);
    for (std::uint64_t i = 1; i <= count; ++i) {
        arena.starts.push_back(arena.size);
        const std::uint64_t length =
            random.below(2 * i, i % 7 == 0 ? 40000 : 900) + (random.below(2 * i + 1, 5) ? 1 : 0);
        arena.size += (length + 15) / 16 * 16;
    }
    return arena;
}

}  // namespace

TEST_CASE("buckets cover the arena once, descending, cut at parameters, no longer than they must be") {
    for (std::uint64_t seed = 0; seed < 300; ++seed) {
        const Arena arena = random_arena(seed);
        const Random random(seed, divs::Stream::test, 1);
        const std::size_t bytes = 4 * (1 + random.below(0, 6000)), first = 4 * (1 + random.below(1, 2000));
        const auto buckets = plan_buckets(arena.starts, arena.size, bytes, first);
        std::size_t end = arena.size;
        for (std::size_t k = 0; k < buckets.size(); ++k) {
            REQUIRE(buckets[k].end == end);
            REQUIRE(buckets[k].begin < buckets[k].end);
            REQUIRE(std::binary_search(arena.starts.begin(), arena.starts.end(), buckets[k].begin));
            const std::size_t limit = k == 0 ? std::min(first, bytes) : bytes;
            const auto parameters =
                std::count_if(arena.starts.begin(), arena.starts.end(),
                              [&](std::size_t s) { return s > buckets[k].begin && s < buckets[k].end; });
            REQUIRE((buckets[k].size() * 4 <= limit || parameters == 0));
            // Greedy: the parameter below did not fit.
            if (k + 1 < buckets.size()) {
                const auto below =
                    std::lower_bound(arena.starts.begin(), arena.starts.end(), buckets[k].begin) - 1;
                REQUIRE((buckets[k].end - *below) * 4 > limit);
            }
            end = buckets[k].begin;
        }
        REQUIRE(end == 0);
    }
}

TEST_CASE("an arena without boundaries is one bucket, an empty one none") {
    CHECK(plan_buckets({}, 100, 16, 16) == std::vector<Range>{{0, 100}});
    CHECK(plan_buckets({}, 0, 16, 16).empty());
    const std::vector<std::size_t> late{40};  // what lies before the first parameter belongs to somebody too
    CHECK(plan_buckets(late, 100, 16, 16) == std::vector<Range>{{0, 100}});
}

TEST_CASE("the sequence of full buckets does not depend on how the arena is announced") {
    for (std::uint64_t seed = 0; seed < 200; ++seed) {
        const Arena arena = random_arena(seed);
        const auto buckets = plan_buckets(arena.starts, arena.size, 8192, 1024);
        const Random random(seed, divs::Stream::test, 2);
        BucketCursor cursor(buckets, arena.size);
        for (int step = 0; step < 2; ++step) {  // restart() makes a new step of it
            std::vector<Range> taken;
            std::size_t low = arena.size;
            for (std::uint64_t i = 0; low > 0; ++i) {
                const std::size_t gap =
                    random.below(3 * i, 4) == 0 ? std::min<std::size_t>(low, 15) : 0;  // padding
                const std::size_t top = low - gap;
                low = top - random.below(3 * i + 1, std::min<std::size_t>(top, 5000) + 1);
                cursor.announce({low, top});
                while (const auto bucket = cursor.take()) {
                    REQUIRE(bucket->begin >= low);  // only what is final
                    taken.push_back(*bucket);
                }
                const auto due = std::count_if(buckets.begin(), buckets.end(),
                                               [&](const Range& b) { return b.begin >= low; });
                REQUIRE(taken.size() == static_cast<std::size_t>(due));  // as soon as it is
            }
            REQUIRE(taken == buckets);
            cursor.restart();
        }
    }
}

TEST_CASE("ranges out of order and buckets with holes are refused") {
    BucketCursor cursor({{50, 100}, {0, 50}}, 100);
    cursor.announce({60, 100});
    CHECK_THROWS_AS(cursor.announce({70, 80}), divs::ConfigError);
    CHECK_THROWS_WITH(BucketCursor({{50, 90}, {0, 50}}, 100), Catch::Matchers::ContainsSubstring("ends at 100"));
    CHECK_THROWS_AS(BucketCursor({{50, 100}}, 100), divs::ConfigError);
    CHECK_THROWS_AS(BucketCursor({{50, 100}, {0, 60}}, 100), divs::ConfigError);
}
