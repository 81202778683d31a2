// Who should do how much: pure functions from speeds to shares. No MPI and no video here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace divs::sched {

// A unit of data that is held by one rank and moves whole.
struct Shard {
    std::uint32_t id = 0;
    std::uint64_t samples = 0;  // still to be trained on
    std::uint64_t bytes = 0;    // to send, where storage is local
    double weight = 1;          // cost of one of its samples in ordinary samples

    double work() const noexcept { return static_cast<double>(samples) * weight; }
};

// Time of a rank for n units of work: overhead + n * seconds_per_unit where n > 0, else 0.
struct RankModel {
    double seconds_per_unit = 0;                                // > 0; infinity: a rank that takes no work
    double overhead = 0;                                        // seconds, >= 0
    double capacity = std::numeric_limits<double>::infinity();  // units of work that it may hold

    double time(double work) const noexcept;
    bool usable() const noexcept;  // takes work at all
};

struct Partition {
    std::vector<int> owner;    // rank of each shard, in the order given
    std::vector<double> work;  // units a rank, `initial` included
    double makespan = 0;       // seconds of the slowest rank
};

// Min-max greedy: large shards first, each to the rank that would finish it earliest, within capacity. Shards
// of nearly the same size (within a quarter) keep the order given. With m ranks and a largest shard of p
// units its makespan is at most max(optimal_time(N + m p), that of `initial`): at most one shard a rank worse
// than work that could be split freely. `initial`: units that each rank already has and keeps (empty: none).
// O((shards + classes of size * ranks) log ranks). Throws ConfigError when the shards do not fit into the
// ranks' capacities, or no rank is usable.
Partition greedy_partition(std::span<const Shard> shards, std::span<const RankModel> ranks,
                           std::span<const double> initial = {});

// The same where a shard may only lie on some ranks: `allowed[i]` for shard i (empty: anywhere).
Partition greedy_partition_among(std::span<const Shard> shards, std::span<const RankModel> ranks,
                                 std::span<const std::vector<int>> allowed);

// The bound: T* with sum_i min(h_i, (T* - a_i)^+ / s_i) = work, h capacity, a overhead, s seconds per unit;
// no partition of that much work is faster. 0 for no work. Throws ConfigError when the capacities of the
// usable ranks are too small.
double optimal_time(std::span<const RankModel> ranks, double work);

// What each rank does in that time, units of work: the weights of batch shares. Sums to `work`.
std::vector<double> optimal_work(std::span<const RankModel> ranks, double work);

// Times of a round, seconds a rank.
double makespan(std::span<const RankModel> ranks, std::span<const double> work);  // the slowest
double imbalance(std::span<const double> times);  // max / mean - 1; 0 for no time at all
inline double efficiency(double best, double actual) noexcept {
    return actual > 0 ? best / actual : 1;
}  // eta

// Whole batch shares in proportion to `weights` (>= 0; all zero: equal), by largest remainders, ties to the
// lower rank. They sum to `batch` exactly; each is a multiple of `quantum` but for one, which takes what is
// left over. `most`: upper limit of each rank (memory, samples left; empty: none); what is cut off goes to
// the others, quantum or not. Throws ConfigError when the limits together are below `batch`.
std::vector<int> batch_shares(std::span<const double> weights, int batch, int quantum = 1,
                              std::span<const std::int64_t> most = {});

}  // namespace divs::sched
