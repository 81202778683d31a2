#include <cmath>
#include <numeric>

#include "divs/core/error.hpp"
#include "divs/core/random.hpp"
#include "divs/sched/agent.hpp"
#include "divs/sched/partition.hpp"
#include "support/catch.hpp"

using namespace divs::sched;
using divs::Random;
using divs::Stream;

TEST_CASE("OmniLearn's levels come out of the speeds that they imply") {
    struct Level {
        std::vector<double> seconds;  // per sample, in any unit
        std::vector<int> shares;      // of 48
    };
    const std::vector<Level> levels{{{1, 1, 1, 1}, {12, 12, 12, 12}},
                                    {{4, 4, 6, 3}, {12, 12, 8, 16}},
                                    {{8, 8, 12, 3}, {9, 9, 6, 24}},
                                    {{16, 16, 24, 3}, {6, 6, 4, 32}}};
    for (const Level& level : levels) {
        std::vector<RankModel> ranks;
        for (double s : level.seconds) ranks.push_back({s, 0});
        CHECK(batch_shares(optimal_work(ranks, 48), 48) == level.shares);
    }
}

TEST_CASE("shares sum to the batch, keep their limits and stay near their quota") {
    for (std::uint64_t seed = 0; seed < 500; ++seed) {
        const Random random(seed, Stream::test, 3);
        const auto ranks = 1 + random.below(0, 20);
        const int batch = static_cast<int>(random.below(1, 300)),
                  quantum = 1 + static_cast<int>(random.below(2, 8));
        std::vector<double> weights;
        std::vector<std::int64_t> most;
        std::int64_t room = 0;
        for (std::uint64_t r = 0; r < ranks; ++r) {
            weights.push_back(random.below(10 + r, 4) ? random.uniform(100 + r, 0, 9) : 0);
            most.push_back(static_cast<std::int64_t>(random.below(200 + r, 100)));
            room += most.back();
        }
        INFO("seed " << seed);
        const auto sum = [](const std::vector<int>& s) { return std::accumulate(s.begin(), s.end(), 0); };

        const auto free = batch_shares(weights, batch, quantum);
        REQUIRE(sum(free) == batch);
        const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
        int odd = 0;
        for (std::size_t r = 0; r < ranks; ++r) {
            odd += free[r] % quantum != 0;
            REQUIRE(free[r] >= 0);
            if (total > 0) REQUIRE(std::abs(free[r] - batch * weights[r] / total) < 2 * quantum);
            if (total > 0 && weights[r] == 0) REQUIRE(free[r] == 0);
        }
        REQUIRE(odd <= 1);
        if (room < batch) {
            REQUIRE_THROWS_AS(batch_shares(weights, batch, quantum, most), divs::ConfigError);
            continue;
        }
        const auto limited = batch_shares(weights, batch, quantum, most);
        REQUIRE(sum(limited) == batch);
        for (std::size_t r = 0; r < ranks; ++r) REQUIRE((limited[r] >= 0 && limited[r] <= most[r]));
    }
}

TEST_CASE("shares of special weights") {
    using V = std::vector<int>;
    CHECK(batch_shares(std::vector<double>{0, 0, 0}, 7) ==
          V{3, 2, 2});  // nobody known: equal, ties to the lower rank
    CHECK(batch_shares(std::vector<double>{5, 0, INFINITY, NAN}, 4) == V{4, 0, 0, 0});
    CHECK(batch_shares(std::vector<double>{1, 1}, 0) == V{0, 0});
    CHECK(batch_shares(std::vector<double>{1, 1, 1}, 32, 8) == V{16, 8, 8});
    CHECK(batch_shares(std::vector<double>{3, 1}, 30, 8) ==
          V{22, 8});  // 6 are left over and go where they are missed
    const std::vector<std::int64_t> most{2, 100};
    CHECK(batch_shares(std::vector<double>{9, 1}, 12, 1, most) == V{2, 10});
}

TEST_CASE("shares that follow what ranks hold end together and use every sample once") {
    for (std::uint64_t seed = 0; seed < 100; ++seed) {
        const Random random(seed, Stream::test, 4);
        const int ranks = 1 + static_cast<int>(random.below(0, 9)),
                  batch = 1 + static_cast<int>(random.below(1, 60));
        std::vector<std::uint64_t> left;
        for (int r = 0; r < ranks; ++r)
            left.push_back(random.below(10 + static_cast<std::uint64_t>(r), 3)
                               ? random.below(50 + static_cast<std::uint64_t>(r), 700)
                               : 0);
        ShareTracker tracker(ranks, 1, false);
        tracker.begin_epoch(left);
        const std::uint64_t all = tracker.left();
        std::uint64_t steps = 0;
        auto used = std::vector<std::uint64_t>(left.size(), 0);
        while (tracker.left()) {
            const auto shares = tracker.shares(batch);
            const int sum = std::accumulate(shares.begin(), shares.end(), 0);
            REQUIRE(sum == static_cast<int>(
                               std::min<std::uint64_t>(static_cast<std::uint64_t>(batch), tracker.left())));
            for (std::size_t r = 0; r < left.size(); ++r) {
                const double quota = static_cast<double>(left[r]) * batch / static_cast<double>(all);
                if (sum == batch) REQUIRE(std::abs(shares[r] - quota) <= 2.0);  // even, to the last step
                used[r] += static_cast<std::uint64_t>(shares[r]);
            }
            tracker.advance(shares);
            ++steps;
        }
        REQUIRE(used == left);
        REQUIRE(steps == (all + static_cast<std::uint64_t>(batch) - 1) / static_cast<std::uint64_t>(batch));
    }
}

TEST_CASE("shares that follow weights do not care who holds what") {
    ShareTracker tracker(4, 1, true);
    tracker.begin_epoch({100, 0, 0, 0});
    tracker.weigh({1, 1, 3, 3});
    CHECK(tracker.shares(48) == std::vector<int>{6, 6, 18, 18});
    tracker.advance(tracker.shares(48));
    tracker.advance(tracker.shares(48));
    CHECK(tracker.left() == 4);
    const auto last = tracker.shares(48);
    CHECK(std::accumulate(last.begin(), last.end(), 0) == 4);
    CHECK_THROWS_AS(tracker.weigh({1}), divs::CommunicationError);
}

TEST_CASE("a memory limit makes the batch smaller rather than the rank fail") {
    ShareTracker tracker(2, 1, false, {8, 100});
    tracker.begin_epoch({50, 2});
    CHECK(tracker.shares(16) == std::vector<int>{8, 2});
}
