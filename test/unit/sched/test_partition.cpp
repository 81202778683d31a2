#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "divs/core/error.hpp"
#include "divs/core/random.hpp"
#include "divs/sched/partition.hpp"
#include "support/catch.hpp"

using namespace divs::sched;
using divs::Random;
using divs::Stream;

namespace {

constexpr double infinite = std::numeric_limits<double>::infinity();

struct Instance {
    std::vector<Shard> shards;
    std::vector<RankModel> ranks;
};

Instance random_instance(std::uint64_t seed, std::uint64_t most_shards, std::uint64_t most_ranks,
                         bool overheads) {
    const Random random(seed, Stream::test);
    Instance result;
    const auto shards = 1 + random.below(0, most_shards), ranks = 1 + random.below(1, most_ranks);
    for (std::uint64_t i = 0; i < shards; ++i)
        result.shards.push_back({static_cast<std::uint32_t>(i), 1 + random.below(100 + i, 40)});
    for (std::uint64_t r = 0; r < ranks; ++r)
        result.ranks.push_back(
            {random.uniform(1000 + r, 0.1, 4), overheads ? random.uniform(2000 + r, 0, 20) : 0});
    return result;
}

double total_work(const std::vector<Shard>& shards) {
    return std::accumulate(shards.begin(), shards.end(), 0.0,
                           [](double sum, const Shard& s) { return sum + s.work(); });
}

double largest_work(const std::vector<Shard>& shards) {
    return std::ranges::max(shards, {}, &Shard::work).work();
}

// The best of all partitions, by trying every one.
double brute_force(const Instance& in) {
    std::vector<std::size_t> owner(in.shards.size(), 0);
    double best = infinite;
    for (;;) {
        std::vector<double> work(in.ranks.size(), 0);
        for (std::size_t i = 0; i < owner.size(); ++i) work[owner[i]] += in.shards[i].work();
        best = std::min(best, makespan(in.ranks, work));
        std::size_t i = 0;
        while (i < owner.size() && ++owner[i] == in.ranks.size()) owner[i++] = 0;
        if (i == owner.size()) return best;
    }
}

}  // namespace

TEST_CASE("the greedy partition is within its bound of the best one") {
    double worst = 1;
    for (std::uint64_t seed = 0; seed < 300; ++seed) {
        const Instance in = random_instance(seed, 7, 3, seed % 2);
        const Partition p = greedy_partition(in.shards, in.ranks);
        const double best = brute_force(in), ideal = optimal_time(in.ranks, total_work(in.shards));
        const double bound = optimal_time(
            in.ranks, total_work(in.shards) + static_cast<double>(in.ranks.size()) * largest_work(in.shards));
        INFO("seed " << seed);
        REQUIRE(p.makespan >= best * (1 - 1e-12));
        REQUIRE(best >= ideal * (1 - 1e-12));
        REQUIRE(p.makespan <= bound * (1 + 1e-12));
        if (seed % 2 == 0) worst = std::max(worst, p.makespan / best);
    }
    CHECK(worst < 1.6);  // against the best whole-shard partition, over these instances
}

TEST_CASE("the greedy bound holds at every size, with work that is already there") {
    for (std::uint64_t seed = 0; seed < 60; ++seed) {
        const Random random(seed, Stream::test, 1);
        Instance in = random_instance(seed, 400, 40, seed % 3 == 0);
        std::vector<double> initial;
        for (std::size_t r = 0; r < in.ranks.size(); ++r) initial.push_back(random.uniform(r, 0, 60));
        const Partition p = greedy_partition(in.shards, in.ranks, initial);
        std::vector<double> work = initial;
        for (std::size_t i = 0; i < in.shards.size(); ++i)
            work[static_cast<std::size_t>(p.owner[i])] += in.shards[i].work();
        for (std::size_t r = 0; r < work.size(); ++r) REQUIRE(work[r] == Approx(p.work[r]));
        REQUIRE(p.makespan == Approx(makespan(in.ranks, work)));
        const double all = total_work(in.shards) + std::accumulate(initial.begin(), initial.end(), 0.0);
        const double bound =
            optimal_time(in.ranks, all + static_cast<double>(in.ranks.size()) * largest_work(in.shards));
        REQUIRE(p.makespan <= std::max(bound, makespan(in.ranks, initial)) * (1 + 1e-12));
    }
}

TEST_CASE("the greedy partition respects capacities and leaves out ranks that take no work") {
    for (std::uint64_t seed = 0; seed < 100; ++seed) {
        Instance in = random_instance(seed, 100, 8, false);
        in.ranks.push_back({infinite, 0});
        in.ranks.push_back({1, 0, 0});
        for (std::size_t r = 0; r + 2 < in.ranks.size(); ++r)
            in.ranks[r].capacity =
                40 + 1.3 * total_work(in.shards) / static_cast<double>(in.ranks.size() - 2);
        const Partition p = greedy_partition(in.shards, in.ranks);
        for (std::size_t r = 0; r < in.ranks.size(); ++r)
            REQUIRE(p.work[r] <= (in.ranks[r].usable() ? in.ranks[r].capacity * (1 + 1e-9) : 0));
        REQUIRE(std::accumulate(p.work.begin(), p.work.end(), 0.0) == Approx(total_work(in.shards)));
    }
    const std::vector<Shard> shards{{7, 10}};
    const std::vector<RankModel> small{{1, 0, 9}}, none{{infinite, 0}};
    CHECK_THROWS_WITH(greedy_partition(shards, small), Catch::Matchers::ContainsSubstring("shard 7"));
    CHECK_THROWS_AS(greedy_partition(shards, none), divs::ConfigError);
    CHECK(greedy_partition({}, small).makespan == 0);
}

TEST_CASE("equal shards on equal ranks are dealt out evenly, also where there are fewer than ranks") {
    std::vector<Shard> shards;
    for (std::uint32_t i = 0; i < 40; ++i) shards.push_back({i, 5});
    const std::vector<RankModel> ranks(4, RankModel{0.5, 0});
    for (double work : greedy_partition(shards, ranks).work) CHECK(work == 50);
    shards.resize(3);
    const auto few = greedy_partition(shards, ranks).work;
    CHECK(std::ranges::count(few, 5.0) == 3);
    CHECK(std::ranges::count(few, 0.0) == 1);
}

TEST_CASE("a shard that lies on some ranks only stays on them") {
    std::vector<Shard> shards;
    std::vector<std::vector<int>> allowed;
    for (std::uint32_t i = 0; i < 60; ++i) {
        shards.push_back({i, 1 + i % 7});
        allowed.push_back(i % 3 == 0 ? std::vector<int>{} : std::vector<int>{static_cast<int>(i % 4), 3});
    }
    const std::vector<RankModel> ranks(4, RankModel{1, 0});
    const Partition p = greedy_partition_among(shards, ranks, allowed);
    for (std::size_t i = 0; i < shards.size(); ++i) {
        REQUIRE(p.owner[i] >= 0);
        if (!allowed[i].empty()) REQUIRE(std::ranges::count(allowed[i], p.owner[i]) > 0);
    }
    const auto free = greedy_partition(shards, ranks);
    CHECK(greedy_partition_among(shards, ranks, {}).makespan <= free.makespan + 7);
}

TEST_CASE("the bound has its closed forms") {
    const std::vector<RankModel> equal(5, RankModel{2, 0});
    CHECK(optimal_time(equal, 100) == Approx(40));
    const std::vector<RankModel> speeds{{1, 0}, {0.5, 0}, {0.25, 0}};  // 1 + 2 + 4 units a second
    CHECK(optimal_time(speeds, 70) == Approx(10));
    const std::vector<RankModel> overheads{{1, 3}, {1, 5}};  // both work: (T - 3) + (T - 5) = 20
    CHECK(optimal_time(overheads, 20) == Approx(14));
    CHECK(optimal_time(overheads, 1) == Approx(4));          // the second is not worth its overhead
    const std::vector<RankModel> capped{{1, 0, 4}, {1, 0}};  // the first is full at 4
    CHECK(optimal_time(capped, 20) == Approx(16));
    CHECK(optimal_time(capped, 6) == Approx(3));
    CHECK(optimal_time(capped, 0) == 0);
    const std::vector<RankModel> full{{1, 0, 4}, {2, 0, 3}};
    CHECK(optimal_time(full, 7) == Approx(6));
    CHECK_THROWS_AS(optimal_time(full, 7.5), divs::ConfigError);
    const auto work = optimal_work(overheads, 20);
    CHECK(work[0] == Approx(11));
    CHECK(work[1] == Approx(9));
}

TEST_CASE("the bound solves its equation for random ranks") {
    for (std::uint64_t seed = 0; seed < 200; ++seed) {
        const Random random(seed, Stream::test, 2);
        std::vector<RankModel> ranks;
        double room = 0;
        for (std::uint64_t r = 0; r < 1 + random.below(0, 30); ++r) {
            ranks.push_back({random.uniform(10 + r, 1e-4, 3), random.uniform(100 + r, 0, 2),
                             random.uniform(200 + r, 1, 50)});
            room += ranks.back().capacity;
        }
        const double work = room * random.uniform(1, 0.01, 0.99), seconds = optimal_time(ranks, work);
        double done = 0;
        for (const RankModel& r : ranks)
            done += std::min(r.capacity, std::max(0.0, seconds - r.overhead) / r.seconds_per_unit);
        REQUIRE(done == Approx(work).epsilon(1e-9));
        const auto shares = optimal_work(ranks, work);
        REQUIRE(std::accumulate(shares.begin(), shares.end(), 0.0) == Approx(work));
    }
}

TEST_CASE("imbalance and efficiency") {
    CHECK(imbalance(std::vector<double>{1, 1, 1, 1}) == Approx(0));
    CHECK(imbalance(std::vector<double>{4, 1, 1, 2}) == Approx(1));
    CHECK(imbalance(std::vector<double>{0, 0}) == 0);
    CHECK(efficiency(3, 4) == Approx(0.75));
    CHECK(efficiency(0, 0) == 1);
}
