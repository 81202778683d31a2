// A rank's side of the scheduler: its leases, and the batch shares of every step, known to all ranks without
// a message.
#pragma once

#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <span>
#include <unordered_map>
#include <unordered_set>
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
    bool follows_weights() const noexcept { return follow_weights_; }

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

    // The next shard to decode; from now on it cannot move. Nothing when all that wait are on offer (ask
    // again after apply(); the steps up to then need none of them) or none is left.
    std::optional<std::uint32_t> start_next();
    bool start(std::uint32_t shard);  // this one; false where it does not wait here, or is on offer
    bool on_offer() const;            // between report() and apply()
    bool all_started() const;         // no lease is waiting, on offer or not
    std::vector<std::uint32_t> waiting() const;  // leases not started, in order of use

    // Shares of the next step; done() after it.
    std::vector<int> shares(int batch) const;
    void done(std::span<const int> shares);
    std::uint64_t samples_left() const;  // of this rank
    std::uint64_t samples_left_everywhere() const;

    // After step `step`: offers what neither the next `lag` steps of `batch` samples nor `ahead` more samples
    // (held in the reservoir) need, and none of `keep`. What is offered cannot start until apply(), which
    // must follow every report. Where the order is global, samples and work left are those of shards not
    // started, and `keep` names the shards that the next steps need.
    RankReport report(std::uint64_t step, int lag, int batch, std::uint64_t ahead,
                      const ThroughputMeter& meter, std::span<const std::uint32_t> keep = {});

    struct Changes {
        std::vector<Move> given, received;  // of this rank; where storage is local these travel
    };
    // Takes effect before the decision's step, after done() of the step before. Throws CommunicationError
    // when the decision moves a shard that this rank had not offered.
    Changes apply(const Decision& decision);

  private:
    std::uint64_t needed(int lag, int batch) const;
    std::uint64_t samples_of(std::uint32_t shard) const;
    std::uint64_t waiting_samples() const;
    void begin(std::deque<std::uint32_t>::iterator at);
    void offer(std::uint64_t wanted, std::span<const std::uint32_t> keep);

    int rank_, ranks_;
    std::unordered_map<std::uint32_t, Shard> shards_;
    mutable std::mutex mutex_;
    ShareTracker tracker_;
    std::unordered_map<std::uint32_t, std::uint64_t>
        partial_;                        // samples of shards that a checkpoint left half done
    std::deque<std::uint32_t> waiting_;  // in order of use
    std::unordered_set<std::uint32_t> offered_;
    bool on_offer_ = false;
    double started_samples_ = 0, started_work_ = 0;
};

}  // namespace divs::sched
