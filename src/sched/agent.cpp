#include "divs/sched/agent.hpp"

#include <algorithm>
#include <numeric>

#include "divs/core/error.hpp"
#include "divs/sched/partition.hpp"

namespace divs::sched {

ShareTracker::ShareTracker(int ranks, int quantum, bool follow_weights,
                           std::vector<std::int64_t> largest_share)
    : quantum_(quantum),
      follow_weights_(follow_weights),
      largest_(std::move(largest_share)),
      left_(static_cast<std::size_t>(ranks), 0),
      weights_(static_cast<std::size_t>(ranks), 1.0) {}

void ShareTracker::begin_epoch(std::vector<std::uint64_t> samples_left) {
    left_ = std::move(samples_left);
}

void ShareTracker::weigh(std::vector<double> weights) {
    if (weights.size() != weights_.size())
        throw_error<CommunicationError>("scheduler: share weights of {} ranks, expected {}", weights.size(),
                                        weights_.size());
    weights_ = std::move(weights);
}

void ShareTracker::move(int from, int to, std::uint64_t samples) {
    if (follow_weights_) return;  // only the sum counts
    left_.at(static_cast<std::size_t>(from)) -= samples;
    left_.at(static_cast<std::size_t>(to)) += samples;
}

std::uint64_t ShareTracker::left() const noexcept {
    return std::accumulate(left_.begin(), left_.end(), std::uint64_t{0});
}

std::vector<int> ShareTracker::shares(int batch) const {
    auto samples = std::min<std::uint64_t>(static_cast<std::uint64_t>(batch), left());
    if (follow_weights_) return batch_shares(weights_, static_cast<int>(samples), quantum_, largest_);
    // A rank never gets more than it holds, nor more than fits into its memory; near the end of an epoch,
    // when the ranks that still hold something cannot take a whole batch, the batch is smaller.
    std::vector<std::int64_t> most;
    std::uint64_t room = 0;
    for (std::size_t r = 0; r < left_.size(); ++r) {
        most.push_back(static_cast<std::int64_t>(left_[r]));
        if (r < largest_.size()) most.back() = std::min(most.back(), largest_[r]);
        room += static_cast<std::uint64_t>(most.back());
    }
    samples = std::min(samples, room);
    const std::vector<double> weights(left_.begin(), left_.end());
    return batch_shares(weights, static_cast<int>(samples), quantum_, most);
}

void ShareTracker::advance(std::span<const int> shares) {
    if (follow_weights_) {  // who trains on a sample is not who holds it; count them down together
        auto rest = static_cast<std::uint64_t>(std::accumulate(shares.begin(), shares.end(), 0));
        for (auto& left : left_) {
            const auto taken = std::min(left, rest);
            left -= taken;
            rest -= taken;
        }
        return;
    }
    for (std::size_t r = 0; r < shares.size(); ++r) {
        if (left_[r] < static_cast<std::uint64_t>(shares[r]))
            throw_error<Error>("scheduler: rank {} did {} samples but held {}", r, shares[r], left_[r]);
        left_[r] -= static_cast<std::uint64_t>(shares[r]);
    }
}

Agent::Agent(int rank, int ranks, std::vector<Shard> shards, ShareTracker tracker)
    : rank_(rank), ranks_(ranks), tracker_(std::move(tracker)) {
    for (const Shard& shard : shards) shards_.emplace(shard.id, shard);
}

std::uint64_t Agent::samples_of(std::uint32_t shard) const {
    if (const auto it = partial_.find(shard); it != partial_.end()) return it->second;
    const auto it = shards_.find(shard);
    if (it == shards_.end())
        throw_error<CommunicationError>("scheduler: rank {}: unknown shard {}", rank_, shard);
    return it->second.samples;
}

void Agent::begin_epoch(const Assignment& assignment,
                        const std::unordered_map<std::uint32_t, std::uint64_t>& left) {
    const std::lock_guard lock(mutex_);
    if (assignment.leases.size() != static_cast<std::size_t>(ranks_))
        throw_error<CommunicationError>("scheduler: rank {}: leases for {} ranks, expected {}", rank_,
                                        assignment.leases.size(), ranks_);
    partial_ = left;
    std::vector<std::uint64_t> samples;
    for (const auto& leases : assignment.leases) {
        samples.push_back(0);
        for (std::uint32_t shard : leases) samples.back() += samples_of(shard);
    }
    tracker_.begin_epoch(std::move(samples));
    const auto& mine = assignment.leases[static_cast<std::size_t>(rank_)];
    waiting_.assign(mine.begin(), mine.end());
    started_samples_ = started_work_ = 0;
    offered_.clear();
    on_offer_ = false;
}

std::optional<std::uint32_t> Agent::start_next() {
    const std::lock_guard lock(mutex_);
    const auto next =
        std::ranges::find_if(waiting_, [&](std::uint32_t shard) { return !offered_.contains(shard); });
    if (next == waiting_.end()) return std::nullopt;
    const std::uint32_t shard = *next;
    begin(next);
    return shard;
}

bool Agent::start(std::uint32_t shard) {
    const std::lock_guard lock(mutex_);
    const auto at = std::ranges::find(waiting_, shard);
    if (at == waiting_.end() || offered_.contains(shard)) return false;
    begin(at);
    return true;
}

void Agent::begin(std::deque<std::uint32_t>::iterator at) {
    const auto samples = static_cast<double>(samples_of(*at));
    started_samples_ += samples;
    started_work_ += samples * shards_.at(*at).weight;
    waiting_.erase(at);
}

bool Agent::on_offer() const {
    const std::lock_guard lock(mutex_);
    return on_offer_;
}

bool Agent::all_started() const {
    const std::lock_guard lock(mutex_);
    return waiting_.empty();
}

std::vector<std::uint32_t> Agent::waiting() const {
    const std::lock_guard lock(mutex_);
    return {waiting_.begin(), waiting_.end()};
}

std::vector<int> Agent::shares(int batch) const {
    const std::lock_guard lock(mutex_);
    return tracker_.shares(batch);
}

void Agent::done(std::span<const int> shares) {
    const std::lock_guard lock(mutex_);
    tracker_.advance(shares);
}

std::uint64_t Agent::samples_left() const {
    const std::lock_guard lock(mutex_);
    return tracker_.left(rank_);
}

std::uint64_t Agent::samples_left_everywhere() const {
    const std::lock_guard lock(mutex_);
    return tracker_.left();
}

std::uint64_t Agent::waiting_samples() const {
    std::uint64_t samples = 0;
    for (std::uint32_t shard : waiting_) samples += samples_of(shard);
    return samples;
}

std::uint64_t Agent::needed(int lag, int batch) const {
    ShareTracker future = tracker_;
    std::uint64_t samples = 0;
    for (int step = 0; step < lag; ++step) {
        const auto shares = future.shares(batch);
        samples += static_cast<std::uint64_t>(shares[static_cast<std::size_t>(rank_)]);
        future.advance(shares);
    }
    return samples;
}

void Agent::offer(std::uint64_t wanted, std::span<const std::uint32_t> keep) {
    offered_.clear();
    const std::uint64_t waiting = waiting_samples();
    // Samples of begun shards that are still to be trained on; where the order is global nobody here can
    // tell.
    std::uint64_t covered =
        tracker_.follows_weights() ? 0 : tracker_.left(rank_) - std::min(tracker_.left(rank_), waiting);
    for (std::uint32_t shard : waiting_) {
        if (covered < wanted || std::ranges::find(keep, shard) != keep.end())
            covered += samples_of(shard);
        else
            offered_.insert(shard);
    }
    on_offer_ = true;
}

RankReport Agent::report(std::uint64_t step, int lag, int batch, std::uint64_t ahead,
                         const ThroughputMeter& meter, std::span<const std::uint32_t> keep) {
    const std::lock_guard lock(mutex_);
    offer(needed(lag, batch) + ahead, keep);
    RankReport r;
    const Throughput speed = meter.estimate();
    r.rank = rank_;
    r.step = step;
    r.seconds_per_sample_decode = speed.decode;
    r.seconds_per_sample_compute = speed.compute;
    r.overhead = speed.overhead;
    r.relative_error = speed.relative_error;
    r.overlap = speed.overlap;
    r.rounds_measured = speed.rounds;
    r.round_seconds = meter.round_seconds();
    r.waited_share = meter.waited_share();
    for (std::uint32_t shard : waiting_) {
        r.work_left += static_cast<double>(samples_of(shard)) * shards_.at(shard).weight;
        if (offered_.contains(shard)) r.offered.push_back(shard);
    }
    const std::uint64_t waiting = waiting_samples();
    r.samples_left = tracker_.follows_weights() ? waiting : tracker_.left(rank_);
    if (r.samples_left > waiting) {  // begun shards, at their mean weight
        const double weight = started_samples_ > 0 ? started_work_ / started_samples_ : 1;
        r.work_left += static_cast<double>(r.samples_left - waiting) * weight;
    }
    return r;
}

Agent::Changes Agent::apply(const Decision& decision) {
    const std::lock_guard lock(mutex_);
    Changes changes;
    for (const Move& move : decision.moves) {
        if (move.from == rank_) {
            if (!offered_.contains(move.shard))
                throw_error<CommunicationError>(
                    "scheduler: decision {} takes shard {} from rank {}, which did not offer it",
                    decision.number, move.shard, rank_);
            std::erase(waiting_, move.shard);
            changes.given.push_back(move);
        }
        if (move.to == rank_) {
            waiting_.push_back(move.shard);
            changes.received.push_back(move);
        }
        tracker_.move(move.from, move.to, samples_of(move.shard));
    }
    tracker_.weigh(decision.share_weights);
    offered_.clear();
    on_offer_ = false;
    return changes;
}

}  // namespace divs::sched
