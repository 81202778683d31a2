#include "divs/sched/scheduler.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "divs/core/error.hpp"
#include "divs/core/random.hpp"
#include "divs/sched/agent.hpp"
#include "state.hpp"
#include "statistics.hpp"

namespace divs::sched {
namespace {

constexpr std::uint64_t shortest_hold = 2, longest_hold = 64;
constexpr double hold_ends_at = 1.5;  // times the round at its start: something else has happened
constexpr double idle_times_median =
    2;  // a rank that had no work may have recovered: it is assumed no slower

}  // namespace

SchedulerOptions SchedulerOptions::from(Config& config) {
    SchedulerOptions o;
    const Section section = config.section("scheduler");
    o.enabled = section.get("enabled", o.enabled);
    o.interval = section.get("interval", o.interval, 1, 1'000'000);
    o.lag = section.get("lag", o.lag, 1, 1000);
    o.storage = section.choice("storage", "shared", {"shared", "local"}) == "local" ? Storage::local
                                                                                    : Storage::shared;
    o.bandwidth = section.get("bandwidth", o.bandwidth, 1.0);
    o.move_seconds = section.get("move_seconds", o.move_seconds, 0.0);
    o.gate.least_gain = section.get("least_gain", o.gate.least_gain, 0.0, 1.0);
    o.quantum = section.get("quantum", o.quantum, 1, 4096);
    return o;
}

Scheduler::Scheduler(int ranks, std::vector<Shard> shards, SchedulerOptions options)
    : ranks_(ranks),
      options_(std::move(options)),
      speeds_(static_cast<std::size_t>(ranks)),
      idle_(speeds_.size(), false) {
    for (const Shard& shard : shards)
        if (!shards_.emplace(shard.id, shard).second)
            throw_error<Error>("scheduler: shard {} is listed twice", shard.id);
    const auto& most = options_.largest_share;
    const auto room = std::accumulate(most.begin(), most.end(), std::int64_t{0});
    if (most.size() == speeds_.size() && room < options_.batch)
        throw_error<ConfigError>("train.batch = {}: the memory of {} ranks holds {} samples", options_.batch,
                                 ranks_, room);
}

Scheduler::~Scheduler() = default;
Scheduler::Scheduler(Scheduler&&) noexcept = default;

void Scheduler::begin_epoch(std::span<const Shard> shards) {
    for (const Shard& shard : shards) shards_[shard.id] = shard;
    applied_.reset();  // another epoch starts from other holdings: no change of the last one can be judged or
                       // undone
    undo_next_ = false;
}

Assignment Scheduler::assign(std::span<const Shard> shards, std::uint64_t seed, std::uint64_t epoch,
                             std::span<const std::vector<int>> holders) {
    begin_epoch(shards);
    const auto order =
        Random(seed, Stream::shuffle, epoch).permutation(static_cast<std::uint32_t>(shards.size()));
    std::vector<Shard> shuffled;
    std::vector<std::vector<int>> allowed;
    double samples = 0;
    for (std::uint32_t i : order) {
        shuffled.push_back(shards[i]);
        samples += static_cast<double>(shards[i].samples);
        if (options_.storage == Storage::local)
            allowed.push_back(i < holders.size() ? holders[i] : std::vector<int>{});
    }
    auto ranks = models();
    std::vector<double> seconds;
    for (const RankModel& rank : ranks) seconds.push_back(rank.seconds_per_unit);
    const double usual = median(seconds);
    for (std::size_t r = 0; r < ranks.size(); ++r) {
        ranks[r].overhead *= samples / options_.batch;
        if (!options_.enabled)
            ranks[r] = {1, 0, ranks[r].capacity};
        else if (idle_[r])
            ranks[r].seconds_per_unit = std::min(ranks[r].seconds_per_unit, idle_times_median * usual);
    }
    const auto partition = allowed.empty() ? greedy_partition(shuffled, ranks)
                                           : greedy_partition_among(shuffled, ranks, allowed);
    Assignment result{epoch, std::vector<std::vector<std::uint32_t>>(ranks.size())};
    for (std::size_t i = 0; i < shuffled.size(); ++i)
        result.leases[static_cast<std::size_t>(partition.owner[i])].push_back(shuffled[i].id);
    return result;
}

Decision Scheduler::decide(std::span<const std::vector<std::byte>> reports) {
    std::vector<RankReport> unpacked;
    for (const auto& bytes : reports) unpacked.push_back(RankReport::unpack(bytes));
    return decide(std::span<const RankReport>(unpacked));
}

Decision Scheduler::decide(std::span<const RankReport> reports) {
    learn(reports);
    const State state = state_of(reports);
    Decision d;
    d.number = log_.size() + 1;
    d.report_step = state.step;
    d.effective_step = state.step + static_cast<std::uint64_t>(options_.lag);
    d.relative_error = state.relative_error;
    d.waited_share = state.waited_share;
    d.round_now = d.round_planned = state.round(state.work);
    if (!state.done()) {
        d.round_best = state.best_round();
        d.efficiency = efficiency(d.round_best, d.round_now);
        d.imbalance = imbalance(state.rank_rounds(state.work));
        judge_last(state, d);
    }
    if (!options_.enabled) {
        d.verdict = Verdict::disabled;
        d.reason = "the scheduler is switched off";
    } else if (state.done()) {
        d.reason = "nothing is left of the epoch";
    } else if (undo_next_) {
        undo(state, d);
    } else if (holds(state)) {
        d.verdict = Verdict::holding;
        d.reason = fmt::format("the last move was undone; holding until decision {}", hold_until_);
    } else {
        plan(state, d);
    }
    d.share_weights = share_weights(state, d.moves);
    d.batch_shares = shares_by(d.share_weights);
    log_.push_back(d);
    return d;
}

namespace {

// Root mean square over ranks: the spread of a few rounds says little about one rank, but much about all of
// them.
double common_error(const std::vector<Throughput>& speeds) {
    double squares = 0, count = 0;
    for (const Throughput& speed : speeds) {
        if (!speed.rounds) continue;
        squares += speed.relative_error * speed.relative_error;
        ++count;
    }
    return count > 0 ? std::sqrt(squares / count) : 0;
}

}  // namespace

void Scheduler::learn(std::span<const RankReport> reports) {
    for (std::size_t r = 0; r < std::min(reports.size(), speeds_.size()); ++r) {
        idle_[r] = reports[r].round_seconds <= 0;
        if (reports[r].rounds_measured && !(idle_[r] && speeds_[r].rounds))
            speeds_[r] = reports[r].throughput();
    }
    // A spread that is small by chance must not open the gate, so the error falls slowly and rises at once.
    const double error = common_error(speeds_);
    relative_error_ = std::max(error, relative_error_ > 0 ? 0.75 * relative_error_ + 0.25 * error : 0);
}

void Scheduler::judge_last(const State& state, Decision& decision) {
    if (!applied_ || applied_->judged) return;
    const double measured = *std::ranges::max_element(state.round_seconds);
    if (measured <= 0) return;  // no round since
    applied_->judged = true;
    decision.last_moved = applied_->number;
    decision.last_expected_gain = applied_->expected_gain;
    decision.last_measured_gain = applied_->round_before - measured;
    if (applied_->is_undo) {
        // Were the receivers only slow because of what they had received? Then that move must not be tried
        // again soon.
        bool recovered = false;
        for (std::size_t r = 0; r < state.work.size(); ++r)
            if (applied_->change[r] < 0 && applied_->seconds_after[r] > applied_->seconds_before[r])
                recovered = recovered || state.hold_models[r].seconds_per_unit <
                                             (applied_->seconds_before[r] + applied_->seconds_after[r]) / 2;
        hold_until_ = recovered ? decision.number + hold_length_ : 0;
        hold_length_ = recovered ? std::min(2 * hold_length_, longest_hold) : shortest_hold;
        hold_round_ = measured;
    } else {
        undo_next_ = made_worse(state, measured);
        if (!undo_next_ && decision.last_measured_gain > 0) hold_length_ = shortest_hold;
    }
}

// The round got longer, and the cause is a rank that got work and slowed down with it. (A rank that slowed
// down by itself is no reason to go back: the next plan deals with it.)
bool Scheduler::made_worse(const State& state, double measured) const {
    const double margin =
        1 + std::max(options_.gate.least_gain, options_.gate.error_factor * state.relative_error);
    if (measured <= applied_->round_before * margin) return false;
    const auto times = state.rank_rounds(state.work);
    const auto slowest = static_cast<std::size_t>(std::ranges::max_element(times) - times.begin());
    if (applied_->change[slowest] <= 0 ||
        state.hold_models[slowest].seconds_per_unit <= applied_->seconds_before[slowest] * margin)
        return false;
    std::vector<double> back;
    for (double fraction : applied_->before) back.push_back(fraction * state.total);
    return state.round(back) * margin < state.round(state.work);
}

bool Scheduler::holds(const State& state) {
    if (log_.size() + 1 > hold_until_) return false;
    if (state.round(state.work) > hold_ends_at * hold_round_) hold_until_ = 0;
    return hold_until_ != 0;
}

std::vector<double> Scheduler::share_weights(const State& state, const std::vector<Move>& moves) const {
    if (options_.global_order) {
        if (!options_.enabled) return std::vector<double>(state.work.size(), 1.0);
        return optimal_work(state.share_models, options_.batch);
    }
    std::vector<double> left(state.samples.begin(), state.samples.end());
    for (const Move& move : moves) {
        const auto samples = static_cast<double>(shards_.at(move.shard).samples);
        left[static_cast<std::size_t>(move.from)] -= samples;
        left[static_cast<std::size_t>(move.to)] += samples;
    }
    return left;
}

std::vector<int> Scheduler::shares_by(const std::vector<double>& weights) const {
    ShareTracker tracker(ranks_, options_.quantum, options_.global_order, options_.largest_share);
    std::vector<std::uint64_t> left(weights.size(), static_cast<std::uint64_t>(options_.batch));
    if (!options_.global_order)
        std::ranges::transform(weights, left.begin(), [](double w) { return std::llround(w); });
    tracker.begin_epoch(std::move(left));
    tracker.weigh(weights);
    return tracker.shares(options_.batch);
}

}  // namespace divs::sched
