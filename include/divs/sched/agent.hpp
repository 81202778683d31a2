// A rank's side of the scheduler: its leases, and the batch shares of every step, known to all ranks without
// a message.
#pragma once

#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "divs/sched/decision.hpp"
#include "divs/sched/throughput.hpp"

namespace divs::sched {

// Batch shares step by step. All ranks hold the same tracker and feed it the same decisions, so it agrees
// everywhere. Unless the order is global a rank trains on what it holds, so shares follow the samples left:
// all run out together.
class ShareTracker {
  public:
    // follow_weights: order = global: shares follow the decision's weights, and what a rank holds does not
    // matter.
    ShareTracker(int ranks, int quantum, bool follow_weights, std::vector<std::int64_t> largest_share = {});

    void begin_epoch(std::vector<std::uint64_t> samples_left);  // of each rank
    void weigh(std::vector<double> weights);                    // order = global
    void move(int from, int to, std::uint64_t samples);

    std::vector<int> shares(int batch) const;   // of the next step: sum = min(batch, samples left)
    void advance(std::span<const int> shares);  // that step is done
    std::uint64_t left(int rank) const { return left_[static_cast<std::size_t>(rank)]; }
    std::uint64_t left() const noexcept;

  private:
    int quantum_;
    bool follow_weights_;
    std::vector<std::int64_t> largest_;
    std::vector<std::uint64_t> left_;
    std::vector<double> weights_;
};

// Safe from any thread: the decoder starts shards while the trainer reports and applies.
class Agent {
  public:
    // `shards`: all of the data set, as the scheduler has them.
    Agent(int rank, int ranks, std::vector<Shard> shards, ShareTracker tracker);

    // `left`: of shards that are partly done, how many samples remain (a resumed epoch).
    void begin_epoch(const Assignment& assignment,
                     const std::unordered_map<std::uint32_t, std::uint64_t>& left = {});

    // The next shard to decode; from now on it cannot move. Nothing while the next one is on offer, and none
    // is left then: ask again after apply(). The steps up to the decision never need such a shard.
    std::optional<std::uint32_t> start_next();
    bool all_started() const;                    // no lease is waiting, on offer or not
    std::vector<std::uint32_t> waiting() const;  // leases not started, in order of use

    // Shares of the next step; done() after it.
    std::vector<int> shares(int batch) const;
    void done(std::span<const int> shares);
    std::uint64_t samples_left() const;  // of this rank
    std::uint64_t samples_left_everywhere() const;

    // After step `step`: offers what neither the next `lag` steps of `batch` samples nor `ahead` more samples
    // (held in the reservoir) need. What is offered is locked until apply().
    RankReport report(std::uint64_t step, int lag, int batch, std::uint64_t ahead,
                      const ThroughputMeter& meter);

    struct Changes {
        std::vector<Move> given, received;  // of this rank; where storage is local these travel
    };
    // Takes effect before the decision's step, after done() of the step before. Throws CommunicationError
    // when the decision moves a shard that this rank had not offered.
    Changes apply(const Decision& decision);

  private:
    std::uint64_t needed(int lag, int batch) const;
    std::uint64_t samples_of(std::uint32_t shard) const;

    int rank_;
    std::unordered_map<std::uint32_t, Shard> shards_;
    mutable std::mutex mutex_;
    ShareTracker tracker_;
    std::unordered_map<std::uint32_t, std::uint64_t> partial_;
    std::deque<std::uint32_t> waiting_;
    std::size_t reserved_ = 0;  // of waiting_, those in front that are not on offer
};

}  // namespace divs::sched
