#include <atomic>
#include <set>
#include <thread>

#include "divs/core/error.hpp"
#include "divs/sched/agent.hpp"
#include "support/catch.hpp"

using namespace divs::sched;

namespace {

// Two ranks; rank 0 holds shards 0..4, rank 1 shards 5..9; ten samples each.
std::vector<Shard> ten_shards() {
    std::vector<Shard> shards;
    for (std::uint32_t i = 0; i < 10; ++i) shards.push_back({i, 10, 1000, i == 9 ? 2.0 : 1.0});
    return shards;
}

Agent make_agent(int rank) {
    return Agent(rank, 2, ten_shards(), ShareTracker(2, 1, false));
}

const Assignment halves{0, {{0, 1, 2, 3, 4}, {5, 6, 7, 8, 9}}};

using Ids = std::vector<std::uint32_t>;

}  // namespace

TEST_CASE("an agent offers what the next steps do not need, and locks it") {
    Agent agent = make_agent(0);
    agent.begin_epoch(halves);
    CHECK(agent.start_next() == 0U);
    ThroughputMeter meter;
    // 10 samples are begun; 3 steps of 8 of its own need 24, so 2 more shards are kept.
    const RankReport report = agent.report(5, 3, 16, 0, meter);
    CHECK(report.offered == Ids{3, 4});
    CHECK(report.samples_left == 50);
    CHECK(report.work_left == 50);
    CHECK(report.step == 5);
    CHECK(agent.on_offer());
    CHECK(agent.start_next() == 1U);
    CHECK(agent.start_next() == 2U);
    CHECK_FALSE(agent.start_next());  // the rest is on offer
    CHECK_FALSE(agent.start(3));
    CHECK_FALSE(agent.all_started());

    Decision decision;
    decision.moves = {{3, 0, 1}};
    decision.share_weights = {40, 60};
    const auto changes = agent.apply(decision);
    CHECK(changes.given == decision.moves);
    CHECK(changes.received.empty());
    CHECK_FALSE(agent.on_offer());
    CHECK(agent.samples_left() == 40);
    CHECK(agent.samples_left_everywhere() == 100);
    CHECK(agent.shares(10) == std::vector<int>{4, 6});
    CHECK(agent.waiting() == Ids{4});
    CHECK(agent.start(4));
    CHECK(agent.all_started());
}

TEST_CASE("the reservoir and the shards that the trainer names are kept") {
    ThroughputMeter meter;
    Agent agent = make_agent(0);
    agent.begin_epoch(halves);
    CHECK(agent.report(0, 1, 2, 25, meter).offered == Ids{3, 4});
    agent.apply({.share_weights = {1, 1}});
    const Ids keep{4};
    CHECK(agent.report(1, 1, 2, 0, meter, keep).offered == Ids{1, 2, 3});
    CHECK(agent.start(4));
    CHECK_FALSE(agent.start(4));
}

TEST_CASE("work is weighed by the cost of its shards") {
    ThroughputMeter meter;
    Agent agent = make_agent(1);
    agent.begin_epoch(halves);
    CHECK(agent.report(0, 1, 2, 0, meter).work_left == 60);  // shard 9 costs double
    agent.apply({.share_weights = {1, 1}});
    CHECK(agent.start(9));
    agent.done(std::vector<int>{0, 4});  // of shard 9
    CHECK(agent.report(1, 1, 2, 0, meter).work_left == Approx(52));
}

TEST_CASE("receivers take over and bad decisions are refused") {
    ThroughputMeter meter;
    Agent agent = make_agent(1);
    agent.begin_epoch(halves);
    agent.report(0, 1, 4, 0, meter);
    const auto changes = agent.apply({.moves = {{2, 0, 1}}, .share_weights = {1, 1}});
    CHECK(changes.received.size() == 1);
    CHECK(agent.waiting() == Ids{5, 6, 7, 8, 9, 2});
    CHECK(agent.samples_left() == 60);

    agent.report(1, 1, 4, 0, meter);
    CHECK_THROWS_WITH(
        agent.apply({.number = 7, .moves = {{5, 1, 0}}, .share_weights = {1, 1}}),
        Catch::Matchers::ContainsSubstring("decision 7") && Catch::Matchers::ContainsSubstring("shard 5") && Catch::Matchers::ContainsSubstring("rank 1"));
    CHECK_THROWS_AS(make_agent(0).begin_epoch({0, {{1, 2}}}), divs::CommunicationError);
    CHECK_THROWS_AS(make_agent(0).begin_epoch({0, {{77}, {}}}), divs::CommunicationError);
}

TEST_CASE("a resumed epoch counts what is left of begun shards") {
    Agent agent = make_agent(0);
    agent.begin_epoch({0, {{3}, {4}}}, {{3, 4}});
    CHECK(agent.samples_left() == 4);
    CHECK(agent.samples_left_everywhere() == 14);
    agent.begin_epoch(halves);
    CHECK(agent.samples_left() == 50);
}

TEST_CASE("with a global order an agent reports what waits, and shares follow the weights") {
    ThroughputMeter meter;
    Agent agent(0, 2, ten_shards(), ShareTracker(2, 1, true));
    agent.begin_epoch(halves);
    CHECK(agent.start(3));
    const Ids keep{0};
    const RankReport report = agent.report(4, 1, 0, 0, meter, keep);
    CHECK(report.samples_left == 40);
    CHECK(report.work_left == 40);
    CHECK(report.offered == Ids{1, 2, 4});
    agent.apply({.moves = {{1, 0, 1}, {2, 0, 1}}, .share_weights = {1, 3}});
    CHECK(agent.shares(12) == std::vector<int>{3, 9});
    for (int i = 0; i < 8; ++i) agent.done(agent.shares(12));
    CHECK(agent.samples_left_everywhere() == 4);
    CHECK(agent.shares(12) == std::vector<int>{1, 3});
}

TEST_CASE("a decoder may start shards while the trainer reports and applies") {
    std::vector<Shard> shards;
    Assignment assignment{0, {{}, {}}};
    for (std::uint32_t i = 0; i < 400; ++i) {
        shards.push_back({i, 1});
        assignment.leases[0].push_back(i);
    }
    Agent agent(0, 2, shards, ShareTracker(2, 1, false));
    agent.begin_epoch(assignment);
    std::atomic<bool> stop = false;
    std::set<std::uint32_t> started, given;
    std::thread decoder([&] {
        while (!stop || !agent.all_started())
            if (const auto shard = agent.start_next()) started.insert(*shard);
    });
    ThroughputMeter meter;
    for (std::uint64_t step = 0; step < 200; ++step) {
        const RankReport report = agent.report(step, 1, 1, 0, meter);
        Decision decision{.share_weights = {1, 1}};
        if (!report.offered.empty()) {
            decision.moves.push_back({report.offered.back(), 0, 1});
            given.insert(report.offered.back());
        }
        agent.apply(decision);
    }
    stop = true;
    decoder.join();
    for (std::uint32_t shard : given) CHECK_FALSE(started.contains(shard));
    CHECK(started.size() + given.size() == 400);
}
