#include "state.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "divs/core/error.hpp"
#include "statistics.hpp"

namespace divs::sched {
namespace {

void require_consistent(std::span<const RankReport> reports, int ranks,
                        const std::map<std::uint32_t, Shard>& shards) {
    if (reports.size() != static_cast<std::size_t>(ranks))
        throw_error<CommunicationError>("scheduler: {} reports, expected one of each of {} ranks",
                                        reports.size(), ranks);
    std::set<std::uint32_t> seen;
    for (std::size_t r = 0; r < reports.size(); ++r) {
        if (reports[r].rank != static_cast<int>(r) || reports[r].step != reports[0].step)
            throw_error<CommunicationError>(
                "scheduler: report {} is of rank {} and step {}, expected step {}", r, reports[r].rank,
                reports[r].step, reports[0].step);
        for (std::uint32_t id : reports[r].offered) {
            if (!shards.contains(id))
                throw_error<CommunicationError>("scheduler: rank {} offers unknown shard {}", r, id);
            if (!seen.insert(id).second)
                throw_error<CommunicationError>(
                    "scheduler: shard {} is offered twice, the second time by rank {}", id, r);
        }
    }
}

}  // namespace

Scheduler::State Scheduler::state_of(std::span<const RankReport> reports) const {
    require_consistent(reports, ranks_, shards_);
    State s;
    s.step = reports[0].step;
    std::uint64_t samples = 0;
    for (const RankReport& report : reports) {
        const auto r = static_cast<std::size_t>(report.rank);
        Holding holding;
        double movable = 0;
        for (std::uint32_t id : report.offered) {
            holding.movable.push_back(shards_.at(id));
            movable += holding.movable.back().work();
        }
        holding.fixed_work = std::max(0.0, report.work_left - movable);
        holding.cluster = r < options_.cluster.size() ? options_.cluster[r] : 0;
        s.work.push_back(holding.fixed_work + movable);
        s.holdings.push_back(std::move(holding));
        s.samples.push_back(report.samples_left);
        samples += report.samples_left;
        s.round_seconds.push_back(report.round_seconds);
        s.waited_share += report.waited_share / ranks_;
    }
    s.total = std::accumulate(s.work.begin(), s.work.end(), 0.0);
    s.rounds_left = static_cast<double>(samples) / options_.batch;
    s.relative_error = relative_error_;
    const auto known = models();
    for (std::size_t r = 0; r < known.size(); ++r) {
        RankModel model = known[r];
        model.overhead *= s.rounds_left;
        model.capacity = std::max(model.capacity, s.work[r]);
        RankModel share{model.seconds_per_unit, known[r].overhead};
        if (r < options_.largest_share.size())
            share.capacity = static_cast<double>(options_.largest_share[r]);
        if (options_.global_order && speeds_[r].rounds &&
            speeds_[r].overlap >= 0.5) {  // the stages run beside each other
            share.seconds_per_unit = std::max(speeds_[r].compute, 1e-12);
            model.seconds_per_unit = std::max(speeds_[r].decode, 1e-12);
            model.overhead = 0;
        }
        s.share_models.push_back(share);
        s.hold_models.push_back(model);
    }
    return s;
}

std::vector<double> Scheduler::State::rank_rounds(std::span<const double> held) const {
    std::vector<double> times;
    for (std::size_t r = 0; r < held.size(); ++r)
        times.push_back(rounds_left > 0 ? hold_models[r].time(held[r]) / rounds_left : 0);
    return times;
}

double Scheduler::State::round(std::span<const double> held) const {
    const auto times = rank_rounds(held);
    return times.empty() ? 0 : *std::ranges::max_element(times);
}

double Scheduler::State::best_round() const {
    return rounds_left > 0 ? optimal_time(hold_models, total) / rounds_left : 0;
}

std::vector<RankModel> Scheduler::models() const {
    std::vector<double> seconds;
    for (const Throughput& speed : speeds_)
        if (speed.rounds && std::isfinite(speed.seconds()) && speed.seconds() > 0)
            seconds.push_back(speed.seconds());
    const double usual = seconds.empty() ? 1 : median(seconds);
    std::vector<RankModel> result;
    for (std::size_t r = 0; r < speeds_.size(); ++r) {
        RankModel model{usual, 0};
        if (speeds_[r].rounds && speeds_[r].seconds() > 0)
            model = {speeds_[r].seconds(), speeds_[r].overhead};
        if (r < options_.capacity.size()) model.capacity = options_.capacity[r];
        result.push_back(model);
    }
    return result;
}

}  // namespace divs::sched
