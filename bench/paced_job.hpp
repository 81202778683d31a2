// A job of paced ranks: each rank sleeps for the cost of its samples, so that any number of ranks can be
// timed on a few cores. Everything else is real: scheduler, agents, meters, the messages and the rounds that
// wait for the slowest rank.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "divs/sched/scheduler.hpp"

namespace divs::bench {

// What a rank needs of the others.
class Link {
  public:
    virtual ~Link() = default;
    virtual int rank() const = 0;
    virtual int size() const = 0;
    virtual std::vector<std::vector<std::byte>> gather(
        std::vector<std::byte> mine) = 0;                                        // to rank 0; empty elsewhere
    virtual std::vector<std::byte> broadcast(std::vector<std::byte> bytes) = 0;  // from rank 0
    virtual void barrier() = 0;
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

    double cost(int rank, std::uint64_t round) const;  // seconds per sample
    std::uint64_t first_measured() const;              // the round after three decisions since the onset
    double best_round() const;                         // T*, seconds, for the costs after the onset
};

struct PacedResult {           // over the rounds from first_measured() on; complete on rank 0 only
    double round_seconds = 0;  // mean, wall clock
    double efficiency = 0, imbalance = 0, waited_share = 0, samples_per_second = 0;
    std::vector<double> shares;  // mean of each rank
    std::vector<sched::Decision> decisions;
};

// Collective. `scheduled` false: the static split.
PacedResult run_paced(Link& link, const PacedJob& job, bool scheduled);

// Runs `body` on `ranks` threads that stand for ranks; the first error is thrown again.
void on_threads(int ranks, const std::function<void(Link&)>& body);

}  // namespace divs::bench
