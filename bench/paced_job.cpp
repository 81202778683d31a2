#include "paced_job.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>
#include <numeric>

#include "divs/core/clock.hpp"
#include "divs/core/error.hpp"
#include "divs/sched/agent.hpp"
#include "divs/sched/conversation.hpp"

namespace divs::bench {
namespace {

constexpr std::uint64_t left_out_at_the_end = 2;  // rounds: shares are odd when the last shards run out

std::vector<sched::Shard> shards_of(const PacedJob& job) {
    const auto samples = job.rounds * static_cast<std::uint64_t>(job.batch);
    std::vector<sched::Shard> shards;
    for (std::uint64_t at = 0; at < samples; at += job.shard_samples)
        shards.push_back({static_cast<std::uint32_t>(shards.size()),
                          std::min(job.shard_samples, samples - at), 1'000'000});
    return shards;
}

// One rank's part of a job.
class PacedRank {
  public:
    PacedRank(Link& link, const PacedJob& job, bool scheduled)
        : link_(link),
          job_(job),
          shards_(shards_of(job)),
          agent_(link.rank(), link.size(), shards_, sched::ShareTracker(link.size(), 1, false)),
          shares_(static_cast<std::size_t>(link.size()), 0) {
        sched::SchedulerOptions options;
        options.enabled = scheduled;
        options.interval = job.interval;
        options.lag = job.lag;
        options.batch = job.batch;
        options.move_seconds = 0.001;  // nothing is decoded here
        if (link.rank() == 0) scheduler_ = std::make_unique<sched::Scheduler>(link.size(), shards_, options);
        talk_ = std::make_unique<Talk>(
            link, job.lag, scheduler_ ? [this](auto reports) { return decide(reports); } : Talk::Decide());
        std::vector<std::byte> leases;
        if (scheduler_) leases = scheduler_->assign(shards_, 1, 0).pack();
        link_.broadcast_into(leases, 0, "assignment").wait();
        agent_.begin_epoch(sched::Assignment::unpack(leases));
    }

    PacedResult run() {
        link_.barrier();
        Stopwatch watch;
        for (std::uint64_t round = 0; round < job_.rounds; ++round) {
            const bool measured = round >= job_.first_measured() && round + left_out_at_the_end < job_.rounds;
            const auto shares = agent_.shares(job_.batch);
            const int mine = shares[static_cast<std::size_t>(link_.rank())];
            begin_shards(mine, round);
            const Link::Step step = link_.step(mine * job_.cost(link_.rank(), round));
            agent_.done(shares);
            meter_.add({static_cast<double>(mine), 0, step.own, step.waited});
            converse(static_cast<std::int64_t>(round));
            const double wall = watch.lap();
            if (measured) count(wall, step, shares);
        }
        talk_->end();
        return result();
    }

  private:
    using Talk = sched::Conversation<Link>;

    void begin_shards(int samples, std::uint64_t round) {
        while (begun_ < static_cast<std::uint64_t>(samples)) {
            const auto shard = agent_.start_next();
            if (!shard)
                throw_error<Error>("rank {}: round {} needs {} samples, but no shard may start", link_.rank(),
                                   round, samples);
            begun_ += shards_[*shard].samples;
        }
        begun_ -= static_cast<std::uint64_t>(samples);
    }

    void converse(std::int64_t round) {
        const Stopwatch watch;
        auto decision = talk_->after_step(round);
        if (!decision && talk_->due(round, job_.interval, agent_.samples_left_everywhere(), job_.batch)) {
            const auto report =
                agent_.report(static_cast<std::uint64_t>(round), job_.lag, job_.batch, 0, meter_);
            talk_->begin(round, report.pack());
            decision = talk_->after_step(round);
        }
        if (decision) {
            agent_.apply(*decision);
            meter_.mark();
        }
        longest_talk_ = std::max(longest_talk_, watch.seconds());
    }

    sched::Decision decide(Talk::Reports reports) {
        link_.spend(job_.decision_seconds);
        return scheduler_->decide(reports);
    }

    void count(double wall, const Link::Step& step, const std::vector<int>& shares) {
        ++rounds_;
        wall_ += wall;
        own_ += step.own;
        waited_ += step.waited;
        for (std::size_t r = 0; r < shares.size(); ++r) shares_[r] += shares[r];
    }

    PacedResult result() {
        PacedResult result;
        const double mine[3] = {own_, waited_, longest_talk_};
        const auto bytes = std::as_bytes(std::span(mine));
        std::vector<std::vector<std::byte>> all;
        link_.gather_into({bytes.begin(), bytes.end()}, 0, all, "times").wait();
        if (!scheduler_ || rounds_ == 0) return result;
        std::vector<double> own;
        result.exposed_seconds = std::numeric_limits<double>::infinity();
        for (const auto& rank : all) {
            double values[3];
            std::memcpy(values, rank.data(), sizeof values);
            own.push_back(values[0]);
            result.waited_share += values[1] / (values[0] + values[1]) / static_cast<double>(all.size());
            result.exposed_seconds = std::min(result.exposed_seconds, values[1] / rounds_);
            result.decision_seconds = std::max(result.decision_seconds, values[2]);
        }
        result.round_seconds = wall_ / rounds_;
        result.efficiency = sched::efficiency(job_.best_round(), result.round_seconds);
        result.imbalance = sched::imbalance(own);
        result.samples_per_second = job_.batch / result.round_seconds;
        for (double sum : shares_) result.shares.push_back(sum / rounds_);
        result.decisions = scheduler_->log();
        return result;
    }

    Link& link_;
    const PacedJob& job_;
    std::vector<sched::Shard> shards_;
    sched::Agent agent_;
    sched::ThroughputMeter meter_;
    std::unique_ptr<sched::Scheduler> scheduler_;
    std::unique_ptr<Talk> talk_;
    std::uint64_t begun_ = 0;  // samples of begun shards that are not done
    double rounds_ = 0, wall_ = 0, own_ = 0, waited_ = 0, longest_talk_ = 0;
    std::vector<double> shares_;
};

}  // namespace

double PacedJob::cost(int rank, std::uint64_t round) const {
    return seconds[static_cast<std::size_t>(rank)] * (rank == throttled && round >= onset ? factor : 1);
}

std::uint64_t PacedJob::first_measured() const {
    if (measured_from > 0) return measured_from;
    const auto every = static_cast<std::uint64_t>(interval);
    return (onset / every + 3) * every + static_cast<std::uint64_t>(lag);
}

double PacedJob::best_round() const {
    std::vector<sched::RankModel> ranks;
    for (std::size_t r = 0; r < seconds.size(); ++r) ranks.push_back({cost(static_cast<int>(r), rounds)});
    return sched::optimal_time(ranks, batch);
}

PacedResult run_paced(Link& link, const PacedJob& job, bool scheduled) {
    return PacedRank(link, job, scheduled).run();
}

}  // namespace divs::bench
