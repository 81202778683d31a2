// A job of several ranks in simulated time: the real scheduler, agents and meters, and ranks whose true cost
// is a function. Every step all ranks do their shares, the slowest sets the time; after every interval they
// report, and `lag` steps later the decision takes effect, as in training. Checks on the way that no shard is
// done twice, that all ranks agree, and that a rank always has begun shards for its share.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <vector>

#include "divs/core/random.hpp"
#include "divs/sched/agent.hpp"
#include "divs/sched/scheduler.hpp"
#include "support/catch.hpp"

namespace divs::sched::test {

struct RankState {
    std::unique_ptr<Agent> agent;
    ThroughputMeter meter;
    std::uint64_t begun = 0;  // samples of begun shards that are not done
};

class Simulation {
  public:
    // True seconds of a rank for a round of that many samples at a step.
    using Cost = std::function<double(int rank, std::uint64_t step, int samples)>;

    Simulation(int ranks, std::vector<Shard> shards, SchedulerOptions options, Cost cost, double noise = 0.01,
               std::uint64_t seed = 1)
        : options_(options),
          shards_(shards),
          scheduler_(ranks, shards, options),
          cost_(std::move(cost)),
          noise_(noise),
          random_(seed, Stream::test, 99) {
        for (const Shard& shard : shards) samples_[shard.id] = shard.samples;
        ShareTracker tracker(ranks, options.quantum, options.global_order, options.largest_share);
        for (int r = 0; r < ranks; ++r) {
            ranks_.push_back({});
            ranks_.back().agent = std::make_unique<Agent>(r, ranks, shards, tracker);
        }
    }

    void begin_epoch(std::uint64_t seed, std::uint64_t epoch,
                     std::span<const std::vector<int>> holders = {}) {
        const auto assignment = Assignment::unpack(scheduler_.assign(shards_, seed, epoch, holders).pack());
        started_.clear();
        for (auto& rank : ranks_) {
            REQUIRE(rank.begun == 0);
            rank.agent->begin_epoch(assignment);
        }
        pending_.reset();
    }

    // One step; false at the end of the epoch.
    bool step() {
        if (ranks_[0].agent->samples_left_everywhere() == 0) return false;
        if (pending_ && pending_->effective_step == step_) apply();
        const auto shares = ranks_[0].agent->shares(options_.batch);
        double slowest = 0;
        std::vector<double> own;
        for (std::size_t r = 0; r < ranks_.size(); ++r) {
            REQUIRE(ranks_[r].agent->shares(options_.batch) == shares);
            begin_shards(ranks_[r], static_cast<std::uint64_t>(shares[r]));
            const double z = random_.normal(step_ * ranks_.size() + r);
            const double true_seconds = shares[r] ? cost_(static_cast<int>(r), step_, shares[r]) : 0;
            own.push_back(true_seconds * (1 + noise_ * std::clamp(z, -3.0, 3.0)));
            slowest = std::max(slowest, own.back());
        }
        for (std::size_t r = 0; r < ranks_.size(); ++r) {
            ranks_[r].meter.add({static_cast<double>(shares[r]), 0.3 * own[r], own[r], slowest - own[r]});
            ranks_[r].agent->done(shares);
        }
        elapsed += slowest;
        last_round = slowest;
        last_shares = shares;
        ++step_;
        if (step_ % static_cast<std::uint64_t>(options_.interval) == 0 && !pending_) report();
        return true;
    }

    // Steps until the next decision has taken effect; false where the epoch ended before.
    bool until_decision() {
        const auto before = scheduler_.log().size();
        while (scheduler_.log().size() == before || pending_)
            if (!step()) return false;
        return true;
    }

    void finish_epoch() {
        while (step()) {
        }
        for (auto& rank : ranks_) {
            REQUIRE(rank.agent->all_started());
            REQUIRE(rank.agent->samples_left() == 0);
            REQUIRE(rank.begun == 0);
        }
        REQUIRE(started_.size() == samples_.size());  // every shard, once
    }

    // The best round for these true costs per sample, against the round now.
    double efficiency_now(const std::vector<double>& seconds_per_sample) const {
        std::vector<RankModel> models;
        for (double s : seconds_per_sample) models.push_back({s});
        double slowest = 0;
        for (std::size_t r = 0; r < models.size(); ++r)
            slowest = std::max(slowest, seconds_per_sample[r] * last_shares[r]);
        return optimal_time(models, options_.batch) / slowest;
    }

    // The same over the next steps; whole shares of small batches change from step to step.
    double efficiency_over(int steps, const std::vector<double>& seconds_per_sample) {
        double inverse = 0;
        for (int i = 0; i < steps; ++i) {
            REQUIRE(step());
            inverse += 1 / efficiency_now(seconds_per_sample) / steps;
        }
        return 1 / inverse;
    }

    const Scheduler& scheduler() const { return scheduler_; }
    Agent& agent(std::size_t rank) { return *ranks_[rank].agent; }
    std::uint64_t steps() const { return step_; }

    double elapsed = 0, last_round = 0;
    std::vector<int> last_shares;

  private:
    void begin_shards(RankState& rank, std::uint64_t share) {
        while (rank.begun < share) {
            const auto shard = rank.agent->start_next();
            REQUIRE(shard);
            REQUIRE(started_.insert(*shard).second);
            rank.begun += samples_.at(*shard);
        }
        rank.begun -= share;
    }

    void report() {
        std::vector<std::vector<std::byte>> reports;
        for (auto& rank : ranks_)
            reports.push_back(rank.agent->report(step_, options_.lag, options_.batch, 0, rank.meter).pack());
        pending_ = Decision::unpack(scheduler_.decide(reports).pack());
        REQUIRE(pending_->effective_step == step_ + static_cast<std::uint64_t>(options_.lag));
        for (const Move& move : pending_->moves) REQUIRE_FALSE(started_.contains(move.shard));
    }

    void apply() {
        for (auto& rank : ranks_) {
            rank.agent->apply(*pending_);
            rank.meter.mark();
        }
        pending_.reset();
    }

    SchedulerOptions options_;
    std::vector<Shard> shards_;
    Scheduler scheduler_;
    Cost cost_;
    double noise_;
    Random random_;
    std::vector<RankState> ranks_;
    std::map<std::uint32_t, std::uint64_t> samples_;
    std::set<std::uint32_t> started_;
    std::optional<Decision> pending_;
    std::uint64_t step_ = 0;
};

inline std::vector<Shard> equal_shards(std::uint32_t count, std::uint64_t samples) {
    std::vector<Shard> shards;
    for (std::uint32_t i = 0; i < count; ++i) shards.push_back({i, samples, 100'000});
    return shards;
}

inline std::vector<Shard> random_shards(std::uint32_t count, std::uint64_t low, std::uint64_t high,
                                        std::uint64_t seed) {
    const Random random(seed, Stream::test, 98);
    std::vector<Shard> shards;
    for (std::uint32_t i = 0; i < count; ++i)
        shards.push_back({i, low + random.below(i, high - low + 1), 100'000});
    return shards;
}

inline SchedulerOptions options_for(int batch, int interval = 8) {
    SchedulerOptions o;
    o.batch = batch;
    o.interval = interval;
    return o;
}

}  // namespace divs::sched::test
