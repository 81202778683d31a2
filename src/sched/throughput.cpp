#include "divs/sched/throughput.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "statistics.hpp"

namespace divs::sched {
namespace {

constexpr std::size_t recent = 3;     // rounds that prove a lasting change
constexpr double stale_change = 0.2;  // of the pace, at least
constexpr double few_rounds_error =
    0.5;  // relative error claimed before there are enough rounds for a spread
constexpr double largest_overhead = 0.5;  // of a round's compute time: more is an artefact of the fit

double both_stages(double decode, double compute, double overlap) noexcept {
    return std::max(decode, compute) + (1 - overlap) * std::min(decode, compute);
}

std::vector<double> paces(const std::deque<Round>& rounds, double overlap) {
    std::vector<double> result;
    for (const Round& r : rounds)
        result.push_back(both_stages(r.decode_seconds, r.compute_seconds, overlap) / r.work);
    return result;
}

}  // namespace

double Throughput::seconds() const noexcept {
    return both_stages(decode, compute, overlap);
}

ThroughputMeter::ThroughputMeter(std::size_t window, double overlap)
    : window_(std::max<std::size_t>(window, recent)), overlap_(std::clamp(overlap, 0.0, 1.0)) {}

void ThroughputMeter::add(const Round& round) {
    const double own = both_stages(round.decode_seconds, round.compute_seconds, overlap_);
    own_since_ += own;
    waited_since_ += round.waited_seconds;
    if (!(round.work > 0)) return;  // nothing was done, so nothing is learnt about the pace
    since_mark_.push_back(own);
    rounds_.push_back(round);
    if (rounds_.size() > window_) rounds_.pop_front();
    drop_stale();
    fit_overhead();
}

// Three rounds in a row on one side of all that was usual before are a new pace, not noise.
void ThroughputMeter::drop_stale() {
    if (rounds_.size() < 2 * recent) return;
    const auto all = paces(rounds_, overlap_);
    const std::vector<double> before(all.begin(), all.end() - recent), now(all.end() - recent, all.end());
    const double usual = median(before);
    const double margin = std::max(stale_change * usual, 3 * robust_deviation(before, usual));
    const bool slower = std::ranges::all_of(now, [&](double pace) { return pace > usual + margin; });
    const bool faster =
        std::ranges::all_of(now, [&](double pace) { return pace < usual - std::min(margin, 0.5 * usual); });
    if (slower || faster) rounds_.erase(rounds_.begin(), rounds_.end() - recent);
}

void ThroughputMeter::fit_overhead() {
    double largest = 0;
    for (const Round& r : rounds_) largest = std::max(largest, r.work);
    std::vector<double> slopes, totals;
    for (auto a = rounds_.begin(); a != rounds_.end(); ++a) {
        totals.push_back(a->compute_seconds);
        for (auto b = std::next(a); b != rounds_.end(); ++b)
            if (std::abs(a->work - b->work) >= 0.25 * largest)
                slopes.push_back((a->compute_seconds - b->compute_seconds) / (a->work - b->work));
    }
    const std::size_t pairs = rounds_.size() * (rounds_.size() - 1) / 2;
    if (slopes.size() >= std::max(2 * recent, pairs / 4)) {  // else a few odd rounds would decide
        const double slope = median(slopes);
        std::vector<double> rests;
        for (const Round& r : rounds_) rests.push_back(r.compute_seconds - slope * r.work);
        overhead_ = median(rests);
    }
    overhead_ = std::clamp(overhead_, 0.0, largest_overhead * median(totals));
}

Throughput ThroughputMeter::estimate() const {
    Throughput result;
    result.overlap = overlap_;
    result.overhead = overhead_;
    result.rounds = rounds_.size();
    if (rounds_.empty()) return result;
    std::vector<double> decode, compute;
    for (const Round& r : rounds_) {
        decode.push_back(r.decode_seconds / r.work);
        compute.push_back(std::max(0.0, r.compute_seconds - overhead_) / r.work);
    }
    result.decode = median(decode);
    result.compute = median(compute);
    const auto pace = paces(rounds_, overlap_);
    const double centre = median(pace);
    // Standard error of a median of n normal values: sqrt(pi / 2) * deviation / sqrt(n).
    result.relative_error =
        rounds_.size() < recent || centre <= 0
            ? few_rounds_error
            : 1.2533 * robust_deviation(pace, centre) / std::sqrt(static_cast<double>(pace.size())) / centre;
    return result;
}

double ThroughputMeter::round_seconds() const {
    return median(since_mark_);
}

double ThroughputMeter::waited_share() const {
    const double total = own_since_ + waited_since_;
    return total > 0 ? waited_since_ / total : 0;
}

void ThroughputMeter::mark() {
    since_mark_.clear();
    own_since_ = waited_since_ = 0;
}

}  // namespace divs::sched
