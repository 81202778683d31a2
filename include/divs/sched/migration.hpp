// Which shards to move so that the work left fits the speeds: pure functions.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

#include "divs/sched/partition.hpp"

namespace divs::sched {

// What a rank holds at the time of planning.
struct Holding {
    double fixed_work =
        0;  // units that stay: begun shards, and those needed before a decision can take effect
    std::vector<Shard> movable;  // not started
    int cluster = 0;             // partners of the same cluster come first

    double work() const noexcept;
};

struct Move {
    std::uint32_t shard = 0;
    int from = 0, to = 0;
    bool operator==(const Move&) const = default;
};

struct MovePlan {
    std::vector<Move> moves;
    std::vector<double> work_after;  // units a rank
    int transfers = 0;               // pairs (from, to) that exchange anything: at most ranks - 1
    std::uint64_t bytes = 0;         // of all moved shards
    std::uint64_t largest_link = 0;  // bytes of the rank that sends or receives most: what a move waits for
};

// Units that each rank should hold: min-max greedy over all movable shards on top of the fixed work. `most`:
// no rank should hold more than this now (empty: no such limit); what that leaves is shared evenly by the
// others. Where shards do not fit, all stays as it is.
std::vector<double> target_work(std::span<const Holding> holdings, std::span<const RankModel> ranks,
                                std::span<const double> most = {});

// Moves surplus only: from ranks above `wanted` (units a rank) to ranks below, the largest surplus with the
// largest deficit, same-cluster partners first. Every transfer settles at least one partner, hence at most
// ranks - 1 of them. No shard is moved twice; none goes where it exceeds the capacity or would finish later
// than its giver stood.
MovePlan plan_moves(std::span<const Holding> holdings, std::span<const RankModel> ranks,
                    std::span<const double> wanted);

enum class Verdict { moved, balanced, gain_too_small, cost_too_high, undone, holding, disabled };
std::string_view verdict_name(Verdict verdict) noexcept;

// Is a move worth it? now, planned: seconds of a round before and after; cost: seconds that moving takes
// once.
struct Gate {
    double least_gain = 0.02;  // of the round
    double error_factor = 2;   // times the relative standard error of the speeds
    double cost_factor = 1.5;  // times the cost of moving

    Verdict judge(double now, double planned, double relative_error, double rounds_left,
                  double cost) const noexcept;
};

// Calms the wanted change (units a rank, wanted - held): half of it for a rank whose last change had the
// other sign; and no rank more than doubles what it holds, though it may always get `floor` units (one shard,
// say). last_change: signed, any unit; empty: none.
std::vector<double> damp(std::span<const double> change, std::span<const double> held,
                         std::span<const double> last_change, double floor);

}  // namespace divs::sched
