// What the reports of one step say, in the planners' terms.
#pragma once

#include <memory>
#include <vector>

#include "divs/sched/scheduler.hpp"

namespace divs::sched {

// Work is in units over all that is left of the epoch, so the models' times are too: those of a round times
// `rounds_left`.
struct Scheduler::State {
    std::vector<Holding> holdings;
    std::vector<double> work;            // units a rank
    std::vector<std::uint64_t> samples;  // left, a rank
    std::vector<RankModel>
        hold_models;  // cost of holding work: all of it, or decode alone where the order is global
    std::vector<RankModel> share_models;  // of one round and its batch share, where the order is global
    std::vector<double> round_seconds;    // measured, a rank
    double total = 0;                     // units
    double rounds_left = 0;
    double relative_error = 0;
    double waited_share = 0;  // mean over ranks
    std::uint64_t step = 0;

    bool done() const noexcept { return rounds_left <= 0 || total <= 0; }
    // Seconds of a round at the slowest rank when ranks hold that much.
    double round(std::span<const double> held) const;
    double best_round() const;
    std::vector<double> rank_rounds(std::span<const double> held) const;
};

struct Scheduler::Applied {
    std::uint64_t number = 0;
    double expected_gain = 0;
    double round_before = 0;             // seconds, measured where it was, else by the model
    std::vector<double> before;          // fraction of all work a rank held
    std::vector<double> change;          // of that fraction
    std::vector<double> seconds_before;  // per unit of work
    std::vector<double> seconds_after;   // the same when it was undone; empty otherwise
    bool judged = false;
    bool is_undo = false;
};

}  // namespace divs::sched
