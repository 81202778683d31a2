// What to move: plans, their undoing, and what is kept to judge them by.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "state.hpp"

namespace divs::sched {
namespace {

constexpr std::uint64_t change_is_recent = 3;  // decisions: older changes no longer count as a turn of sign

std::string percent(double part, double whole) {
    return fmt::format("{:.1f} %", whole > 0 ? 100 * part / whole : 0);
}

}  // namespace

// What each rank should hold after the next move: the target, damped. Where damping lets a rank take less
// than it should, the others share the rest evenly, so that even a small step makes the round shorter.
std::vector<double> Scheduler::wanted_work(const State& state, std::uint64_t number) const {
    const auto target = target_work(state.holdings, state.hold_models);
    std::vector<double> change;
    double largest = 0;
    for (const Holding& h : state.holdings)
        for (const Shard& shard : h.movable) largest = std::max(largest, shard.work());
    for (std::size_t r = 0; r < target.size(); ++r) change.push_back(target[r] - state.work[r]);
    const bool recent = applied_ && number - applied_->number <= change_is_recent;
    const double floor = std::max(largest, state.total / (4 * ranks_));
    const auto damped =
        damp(change, state.work,
             recent ? std::span<const double>(applied_->change) : std::span<const double>{}, floor);
    if (damped == change) return target;
    std::vector<double> wanted, most(target.size(), std::numeric_limits<double>::infinity());
    for (std::size_t r = 0; r < target.size(); ++r) {
        wanted.push_back(state.work[r] + damped[r]);
        if (damped[r] < change[r]) most[r] = wanted[r];
    }
    const auto evened = target_work(state.holdings, state.hold_models, most);
    for (std::size_t r = 0; r < target.size(); ++r)
        if (damped[r] == change[r]) wanted[r] = evened[r];
    return wanted;
}

void Scheduler::plan(const State& state, Decision& d) {
    const auto wanted = wanted_work(state, d.number);
    const MovePlan moves = plan_moves(state.holdings, state.hold_models, wanted);

    d.round_planned = state.round(moves.work_after);
    d.expected_gain = d.round_now - d.round_planned;
    const bool local = options_.storage == Storage::local;
    d.move_cost =
        options_.move_seconds + (local ? static_cast<double>(moves.largest_link) / options_.bandwidth : 0);
    d.verdict = moves.moves.empty() ? Verdict::balanced
                                    : options_.gate.judge(d.round_now, d.round_planned, state.relative_error,
                                                          state.rounds_left, d.move_cost);
    d.reason = fmt::format(
        "a round takes {:.4g} s, {:.4g} s planned ({}), {:.4g} s at best; {:.0f} rounds left, moving costs "
        "{:.3g} s",
        d.round_now, d.round_planned, percent(d.expected_gain, d.round_now), d.round_best, state.rounds_left,
        d.move_cost);
    if (d.verdict != Verdict::moved) return;
    d.moves = moves.moves;
    d.moved_bytes = local ? moves.bytes : 0;
    record(state, moves, d);
}

void Scheduler::undo(const State& state, Decision& d) {
    undo_next_ = false;
    std::vector<double> wanted;
    for (double fraction : applied_->before) wanted.push_back(fraction * state.total);
    const MovePlan moves = plan_moves(state.holdings, state.hold_models, wanted);
    d.round_planned = state.round(moves.work_after);
    d.expected_gain = d.round_now - d.round_planned;
    d.reason =
        fmt::format("decision {} made the round longer: {:.4g} s before, {:.4g} s after", applied_->number,
                    applied_->round_before, applied_->round_before - d.last_measured_gain);
    if (moves.moves.empty()) return;
    d.verdict = Verdict::undone;
    d.moves = moves.moves;
    d.moved_bytes = options_.storage == Storage::local ? moves.bytes : 0;
    auto seconds_before = std::move(applied_->seconds_before);
    record(state, moves, d);
    applied_->is_undo = true;
    applied_->seconds_after = std::exchange(applied_->seconds_before, std::move(seconds_before));
}

void Scheduler::record(const State& state, const MovePlan& moves, const Decision& d) {
    auto applied = std::make_unique<Applied>();
    applied->number = d.number;
    applied->expected_gain = d.expected_gain;
    const double measured = *std::ranges::max_element(state.round_seconds);
    applied->round_before = measured > 0 ? measured : d.round_now;
    for (std::size_t r = 0; r < state.work.size(); ++r) {
        applied->before.push_back(state.work[r] / state.total);
        applied->change.push_back((moves.work_after[r] - state.work[r]) / state.total);
        applied->seconds_before.push_back(state.hold_models[r].seconds_per_unit);
    }
    applied_ = std::move(applied);
}

}  // namespace divs::sched
