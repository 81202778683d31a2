// The scheduler of a task, on its rank 0: turns reports into decisions. It speaks in byte strings only; the
// trainer carries them: gather the reports after step s, broadcast the decision, apply it before step s +
// lag, without stopping.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "divs/core/config.hpp"
#include "divs/sched/decision.hpp"
#include "divs/sched/throughput.hpp"

namespace divs::sched {

enum class Storage { shared, local };  // every rank reads every file | shards start where their file is

struct SchedulerOptions {
    bool enabled = true;  // false: reports and decisions still flow, nothing moves (the static split)
    int interval = 20;    // steps between reports
    int lag = 2;          // steps from report to effect, >= 1
    Storage storage = Storage::shared;
    bool global_order = false;   // order = global: batch shares follow the speeds, not what a rank holds
    int batch = 1;               // global batch, samples
    int quantum = 1;             // batch shares are multiples of it
    double bandwidth = 100e6;    // bytes/s of a link, where storage is local
    double move_seconds = 0.05;  // a move costs at least this, once
    Gate gate;
    std::vector<int> cluster;      // of each rank; empty: all in one
    std::vector<double> capacity;  // units of work that each rank may hold; empty: no limit
    std::vector<std::int64_t>
        largest_share;  // samples of a batch that fit into each rank's memory; empty: no limit

    // Reads [scheduler]: enabled, interval, lag, storage, bandwidth, move_seconds, least_gain, quantum.
    static SchedulerOptions from(Config& config);
};

class Scheduler {
  public:
    // `shards`: all of the data set, any order; ids are unique.
    Scheduler(int ranks, std::vector<Shard> shards, SchedulerOptions options);
    ~Scheduler();
    Scheduler(Scheduler&&) noexcept;

    // For an epoch that somebody else shares out: the samples still to do of each shard. assign() does this
    // by itself.
    void begin_epoch(std::span<const Shard> shards);

    // The start of an epoch: the given shards (samples still to do; all of them, or what a checkpoint left)
    // shared out by the speeds known so far, in an order that depends on (seed, epoch). `holders[i]`: ranks
    // that store shard i (only where storage is local; an empty list: any rank). With equal speeds the same
    // on every run.
    Assignment assign(std::span<const Shard> shards, std::uint64_t seed, std::uint64_t epoch,
                      std::span<const std::vector<int>> holders = {});

    // One report of every rank (as packed, in order of rank), all of the same step. `batch`: samples of a
    // round.
    Decision decide(std::span<const std::vector<std::byte>> reports);
    Decision decide(std::span<const RankReport> reports);

    const std::vector<Decision>& log() const noexcept { return log_; }
    // Speeds known so far, of each rank; ranks never measured stand at the median of the others.
    std::vector<RankModel> models() const;

  private:
    struct State;    // what the reports say, in the planners' terms
    struct Applied;  // the last decision that moved anything, and what is needed to judge it

    State state_of(std::span<const RankReport> reports) const;
    void learn(std::span<const RankReport> reports);
    void judge_last(const State& state, Decision& decision);
    bool made_worse(const State& state, double measured) const;
    bool holds(const State& state);
    std::vector<double> wanted_work(const State& state, std::uint64_t number) const;
    void plan(const State& state, Decision& decision);
    void undo(const State& state, Decision& decision);
    void record(const State& state, const MovePlan& moves, const Decision& decision);
    std::vector<double> share_weights(const State& state, const std::vector<Move>& moves) const;
    std::vector<int> shares_by(const std::vector<double>& weights) const;

    int ranks_;
    std::map<std::uint32_t, Shard> shards_;
    SchedulerOptions options_;
    std::vector<Throughput> speeds_;  // rounds == 0: never measured
    std::vector<bool> idle_;          // did nothing since the last decision, so its speed may be out of date
    double relative_error_ = 0;       // of the speeds, over the last decisions
    std::unique_ptr<Applied> applied_;
    bool undo_next_ = false;
    std::uint64_t hold_until_ = 0;  // decision number
    std::uint64_t hold_length_ = 2;
    double hold_round_ = 0;
    std::vector<Decision> log_;
};

}  // namespace divs::sched
