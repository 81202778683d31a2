// How fast a rank is, measured by the rank itself, and the report of it that goes to rank 0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <vector>

namespace divs::sched {

// One round (training step) of a rank, timed by that rank.
struct Round {
    double work = 0;            // samples, times the cost weight of their shards (1 for an ordinary shard)
    double decode_seconds = 0;  // spent on decode and conversion of that much work
    double compute_seconds =
        0;  // forward, backward, optimiser: the rank's own work, never its wait for others
    double waited_seconds = 0;  // blocked on other ranks; counts for the waited share only
};

// The cost model of a rank: a round with n units of work takes overhead + n * seconds() where n > 0.
struct Throughput {
    double decode = 0;          // seconds per unit of work; 0 while nothing was measured
    double compute = 0;         // seconds per unit of work
    double overhead = 0;        // seconds a round, whatever its work; part of the compute stage
    double relative_error = 0;  // standard error of the median of seconds(), divided by it
    double overlap = 1;  // 1: decode runs beside compute (own core), the slower sets the pace; 0: they add up
    std::size_t rounds = 0;  // that the estimate rests on; 0: never measured

    double seconds() const noexcept;  // per unit of work
};

// Keeps the last rounds and takes medians, so that one slow round changes nothing. A lasting change of pace
// shows within three rounds: older rounds that disagree with the last three are dropped. The overhead comes
// from rounds of different size (Theil, 1950: the median of all slopes); while sizes do not differ it stays
// as it was.
class ThroughputMeter {
  public:
    // `overlap`: as in Throughput. A rank whose decoder shares a core with compute says 0.
    explicit ThroughputMeter(std::size_t window, double overlap = 1);
    ThroughputMeter() : ThroughputMeter(16) {}

    void add(const Round& round);
    Throughput estimate() const;

    // Since the last mark(): median seconds of a round's own work (0 without rounds) and the share of time
    // waited.
    double round_seconds() const;
    double waited_share() const;
    void mark();  // called where a decision takes effect

  private:
    void drop_stale();
    void fit_overhead();

    std::size_t window_;
    double overlap_;
    double overhead_ = 0;
    std::deque<Round> rounds_;        // of the window, with work > 0 or the bare overhead
    std::vector<double> since_mark_;  // own seconds of each round
    double own_since_ = 0, waited_since_ = 0;
};

// What a rank tells rank 0 every `scheduler.interval` steps.
struct RankReport {
    int rank = 0;
    std::uint64_t step = 0;  // of the consistent cut: all ranks report after the same step
    double seconds_per_sample_decode = 0, seconds_per_sample_compute = 0, overhead = 0, relative_error = 0,
           overlap = 1;
    std::uint64_t rounds_measured = 0;
    double round_seconds =
        0;                    // median of its own work since the last decision took effect; 0: no round since
    double waited_share = 0;  // of the time since the last decision took effect
    std::uint64_t samples_left = 0;  // not yet trained on, of all its leases, after `step`
    double work_left = 0;            // the same, times the shards' cost weights
    std::vector<std::uint32_t>
        offered;  // shards that are not started and will not be before the decision takes effect

    std::vector<std::byte> pack() const;
    static RankReport unpack(
        std::span<const std::byte> bytes);  // throws CommunicationError on anything malformed
    Throughput throughput() const noexcept;
};

}  // namespace divs::sched
