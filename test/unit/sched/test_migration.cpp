#include <algorithm>
#include <limits>
#include <map>
#include <numeric>
#include <set>

#include "divs/core/random.hpp"
#include "divs/sched/migration.hpp"
#include "support/catch.hpp"

using namespace divs::sched;
using divs::Random;
using divs::Stream;

namespace {

struct Instance {
    std::vector<Holding> holdings;
    std::vector<RankModel> ranks;
};

Instance random_instance(std::uint64_t seed, std::uint64_t most_ranks, std::uint64_t most_shards,
                         int clusters) {
    const Random random(seed, Stream::test, 20);
    Instance in;
    const auto ranks = 2 + random.below(0, most_ranks - 1);
    std::uint32_t id = 0;
    for (std::uint64_t r = 0; r < ranks; ++r) {
        Holding h;
        h.fixed_work = random.below(10 + r, 3) ? random.uniform(100 + r, 0, 50) : 0;
        h.cluster = static_cast<int>(random.below(200 + r, static_cast<std::uint64_t>(clusters)));
        const auto shards = random.below(300 + r, 5) ? random.below(400 + r, most_shards) : 0;
        for (std::uint64_t s = 0; s < shards; ++s, ++id)
            h.movable.push_back({id, 1 + random.below(1000 + id, 30), 1000 + id});
        in.holdings.push_back(h);
        in.ranks.push_back({random.below(500 + r, 8) ? random.uniform(600 + r, 0.2, 3)
                                                     : std::numeric_limits<double>::infinity()});
    }
    if (std::ranges::none_of(in.ranks, &RankModel::usable)) in.ranks[0] = {1};
    return in;
}

std::vector<double> held(const Instance& in) {
    std::vector<double> work;
    for (const Holding& h : in.holdings) work.push_back(h.work());
    return work;
}

int transfers(const MovePlan& plan) {
    std::set<std::pair<int, int>> pairs;
    for (const Move& m : plan.moves) pairs.emplace(m.from, m.to);
    return static_cast<int>(pairs.size());
}

void check_legal(const Instance& in, const MovePlan& plan) {
    auto work = held(in);
    std::map<std::uint32_t, std::pair<int, const Shard*>> where;
    for (std::size_t r = 0; r < in.holdings.size(); ++r)
        for (const Shard& s : in.holdings[r].movable) where[s.id] = {static_cast<int>(r), &s};
    std::set<std::uint32_t> moved;
    std::set<int> givers, takers;
    std::uint64_t bytes = 0;
    for (const Move& m : plan.moves) {
        REQUIRE(where.contains(m.shard));  // so it was movable: never one that has started
        REQUIRE(where[m.shard].first == m.from);
        REQUIRE(m.from != m.to);
        REQUIRE(moved.insert(m.shard).second);
        work[static_cast<std::size_t>(m.from)] -= where[m.shard].second->work();
        work[static_cast<std::size_t>(m.to)] += where[m.shard].second->work();
        bytes += where[m.shard].second->bytes;
        givers.insert(m.from);
        takers.insert(m.to);
    }
    for (int g : givers) REQUIRE_FALSE(takers.contains(g));
    for (std::size_t r = 0; r < work.size(); ++r) REQUIRE(plan.work_after[r] == Approx(work[r]).margin(1e-9));
    REQUIRE(plan.bytes == bytes);
    REQUIRE(plan.transfers == transfers(plan));
    REQUIRE(plan.transfers <= static_cast<int>(in.ranks.size()) - 1);
    for (int t : takers) {
        const auto& rank = in.ranks[static_cast<std::size_t>(t)];
        REQUIRE(rank.usable());
        REQUIRE(work[static_cast<std::size_t>(t)] <= rank.capacity * (1 + 1e-9));
    }
}

}  // namespace

TEST_CASE("moves conserve shards, keep the limits and never make the round longer") {
    for (std::uint64_t seed = 0; seed < 500; ++seed) {
        INFO("seed " << seed);
        Instance in = random_instance(seed, 24, 60, 1 + static_cast<int>(seed % 4));
        if (seed % 3 == 0)
            for (std::size_t r = 0; r < in.ranks.size(); ++r)
                in.ranks[r].capacity = in.holdings[r].work() + static_cast<double>(seed % 50);
        const auto target = target_work(in.holdings, in.ranks);
        const MovePlan plan = plan_moves(in.holdings, in.ranks, target);
        check_legal(in, plan);
        REQUIRE(makespan(in.ranks, plan.work_after) <= makespan(in.ranks, held(in)) * (1 + 1e-12));
    }
}

TEST_CASE("one round of moves comes near the optimum where shards are small") {
    for (std::uint64_t seed = 0; seed < 100; ++seed) {
        INFO("seed " << seed);
        const Random random(seed, Stream::test, 21);
        Instance in;
        std::uint32_t id = 0;
        for (std::uint64_t r = 0; r < 8; ++r) {
            Holding h;
            for (int s = 0; s < 100; ++s, ++id) h.movable.push_back({id, 5 + random.below(id, 10)});
            in.holdings.push_back(h);
            in.ranks.push_back({random.uniform(5000 + r, 0.5, 2)});
        }
        const auto work = held(in);
        const double ideal = optimal_time(in.ranks, std::accumulate(work.begin(), work.end(), 0.0));
        const MovePlan plan = plan_moves(in.holdings, in.ranks, target_work(in.holdings, in.ranks));
        check_legal(in, plan);
        REQUIRE(efficiency(ideal, makespan(in.ranks, plan.work_after)) > 0.97);
    }
}

TEST_CASE("where all is even nothing moves") {
    Instance in;
    std::uint32_t id = 0;
    for (int r = 0; r < 6; ++r) {
        Holding h;
        for (int s = 0; s < 10; ++s) h.movable.push_back({id++, 7});
        in.holdings.push_back(h);
        in.ranks.push_back({0.3});
    }
    CHECK(plan_moves(in.holdings, in.ranks, target_work(in.holdings, in.ranks)).moves.empty());
}

TEST_CASE("a rank without shards gets some, a rank that takes no work gives all that it can") {
    Instance in;
    in.holdings.resize(3);
    for (std::uint32_t i = 0; i < 10; ++i) in.holdings[0].movable.push_back({i, 10});
    in.holdings[2].movable.push_back({99, 10});
    in.ranks = {{1}, {1}, {std::numeric_limits<double>::infinity()}};
    const MovePlan plan = plan_moves(in.holdings, in.ranks, target_work(in.holdings, in.ranks));
    check_legal(in, plan);
    CHECK(plan.work_after[2] == 0);
    CHECK(std::abs(plan.work_after[0] - plan.work_after[1]) <= 10);
    in.ranks = {{1e300 * 1e300}, {1e300 * 1e300}, {1e300 * 1e300}};  // nobody can: all stays
    CHECK(plan_moves(in.holdings, in.ranks, target_work(in.holdings, in.ranks)).moves.empty());
}

TEST_CASE("partners of the same cluster come first") {
    Instance in;
    in.holdings.resize(4);
    std::uint32_t id = 0;
    for (std::size_t r : {0U, 2U})
        for (int s = 0; s < 20; ++s) in.holdings[r].movable.push_back({id++, 5});
    for (std::size_t r = 0; r < 4; ++r) in.holdings[r].cluster = r < 2 ? 0 : 1;
    in.ranks.assign(4, {1});
    const MovePlan plan = plan_moves(in.holdings, in.ranks, target_work(in.holdings, in.ranks));
    check_legal(in, plan);
    CHECK(plan.moves.size() == 20);
    for (const Move& m : plan.moves) CHECK(m.from / 2 == m.to / 2);
    // Across clusters only what the own cluster cannot take.
    for (std::size_t r : {0U, 1U}) in.ranks[r] = {3};
    const MovePlan across = plan_moves(in.holdings, in.ranks, target_work(in.holdings, in.ranks));
    check_legal(in, across);
    CHECK(across.transfers <= 3);
    const auto ideal = optimal_time(in.ranks, 200);
    CHECK(makespan(in.ranks, across.work_after) <= ideal * 1.2);
}

TEST_CASE("the gate") {
    const Gate gate;
    struct Row {
        double now, planned, error, rounds, cost;
        Verdict verdict;
    };
    const std::vector<Row> rows{
        {10, 8, 0, 100, 1, Verdict::moved},
        {10, 10, 0, 100, 0, Verdict::balanced},
        {10, 11, 0, 100, 0, Verdict::balanced},
        {0, 0, 0, 100, 0, Verdict::balanced},
        {10, 9.81, 0, 1e6, 0, Verdict::gain_too_small},  // 1.9 % is under 2 %
        {10, 9.79, 0, 1e6, 0, Verdict::moved},
        {10, 9.0, 0.06, 1e6, 0, Verdict::gain_too_small},  // 10 % is under 2 x 6 %
        {10, 8.7, 0.06, 1e6, 0, Verdict::moved},
        {10, 8, 0, 10, 13.4, Verdict::cost_too_high},  // 2 s x 10 rounds < 1.5 x 13.4 s
        {10, 8, 0, 10, 13.3, Verdict::moved},
        {10, 8, 0, 0, 0, Verdict::cost_too_high},  // no round is left to gain in
    };
    for (const Row& row : rows) {
        INFO(row.now << " -> " << row.planned);
        CHECK(gate.judge(row.now, row.planned, row.error, row.rounds, row.cost) == row.verdict);
    }
}

TEST_CASE("damping") {
    using V = std::vector<double>;
    CHECK(damp(V{6, -6}, V{10, 10}, V{}, 1) == V{6, -6});
    CHECK(damp(V{6, -6}, V{10, 10}, V{1, -1}, 1) == V{6, -6});    // the same direction again
    CHECK(damp(V{6, -6}, V{10, 10}, V{-0.1, 3}, 1) == V{3, -3});  // the sign turned
    CHECK(damp(V{6, -6}, V{10, 10}, V{0, 0}, 1) == V{6, -6});
    CHECK(damp(V{50, -50}, V{10, 100}, V{}, 1) == V{10, -50});  // at most twofold growth
    CHECK(damp(V{50, -50}, V{0, 100}, V{}, 7) == V{7, -50});    // but a start for who has nothing
    CHECK(damp(V{50, -50}, V{10, 100}, V{-1, 1}, 1) == V{10, -25});
}

TEST_CASE("verdicts have names") {
    CHECK(verdict_name(Verdict::moved) == "moved");
    CHECK(verdict_name(Verdict::undone) == "undone");
}
