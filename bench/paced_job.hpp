// A job of paced ranks: each rank sleeps for the cost of its samples, so that any number of ranks can be
// timed on a few cores. Everything else is real: scheduler, agents, meters, the messages, the sums of
// gradients and the rounds that wait for the slowest rank.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "divs/comm/world.hpp"
#include "divs/sched/scheduler.hpp"

namespace divs::bench {

// What a rank needs of the others.
class Link {
  public:
    virtual ~Link() = default;
    virtual int rank() const = 0;
    virtual int size() const = 0;
    // As comm::World has them; they may be done at once.
    virtual comm::Work gather_into(std::vector<std::byte> mine, int root,
                                   std::vector<std::vector<std::byte>>& into, std::string_view what) = 0;
    virtual comm::Work broadcast_into(std::vector<std::byte>& bytes, int root, std::string_view what) = 0;
    virtual void barrier() = 0;
    virtual void spend(double seconds) = 0;

    // One training step that spends `seconds` on this rank's samples and then has what all ranks made.
    struct Step {
        double own = 0, waited = 0;  // seconds
    };
    virtual Step step(double seconds) = 0;
};

struct PacedJob {
    std::string name;
    std::vector<double> seconds;  // per sample, of each rank
    int throttled = -1;           // this rank becomes `factor` times slower at round `onset`; -1: none
    double factor = 1;
    std::uint64_t onset = 0;
    int batch = 48;
    std::uint64_t rounds = 72;
    std::uint64_t shard_samples = 8;
    int interval = 8, lag = 2;
    std::uint64_t measured_from = 0;  // round; 0: the one after three decisions since the onset
    double decision_seconds = 0;      // spent by rank 0 on each decision beside the time that it really takes

    double cost(int rank, std::uint64_t round) const;  // seconds per sample
    std::uint64_t first_measured() const;
    double best_round() const;  // T*, seconds, for the costs after the onset
};

struct PacedResult {           // over the rounds from first_measured() on; complete on rank 0 only
    double round_seconds = 0;  // mean, wall clock
    double efficiency = 0, imbalance = 0, waited_share = 0, samples_per_second = 0;
    double exposed_seconds = 0;   // of a round: what the rank waited that waited least
    double decision_seconds = 0;  // how long a decision kept the ranks that it kept longest, at most
    std::vector<double> shares;   // mean of each rank
    std::vector<sched::Decision> decisions;
};

// Collective. `scheduled` false: the static split.
PacedResult run_paced(Link& link, const PacedJob& job, bool scheduled);

}  // namespace divs::bench
