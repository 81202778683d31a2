#include "paced_job.hpp"

#include <algorithm>
#include <barrier>
#include <chrono>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <numeric>
#include <thread>

#include "divs/core/clock.hpp"
#include "divs/core/error.hpp"
#include "divs/sched/agent.hpp"

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
        std::vector<std::byte> leases;
        if (scheduler_) leases = scheduler_->assign(shards_, 1, 0).pack();
        agent_.begin_epoch(sched::Assignment::unpack(link.broadcast(std::move(leases))));
    }

    PacedResult run() {
        link_.barrier();
        Stopwatch watch;
        for (std::uint64_t round = 0; round < job_.rounds; ++round) {
            const bool measured = round >= job_.first_measured() && round + left_out_at_the_end < job_.rounds;
            if (pending_ && pending_->effective_step == round) apply();
            const auto shares = agent_.shares(job_.batch);
            const double own = work(shares, round);
            const double waited = wait();
            agent_.done(shares);
            const int mine = shares[static_cast<std::size_t>(link_.rank())];
            meter_.add({static_cast<double>(mine), 0, own, waited});
            if ((round + 1) % static_cast<std::uint64_t>(job_.interval) == 0 && !pending_) decide(round + 1);
            const double wall = watch.lap();
            if (measured) count(wall, own, waited, shares);
        }
        return result();
    }

  private:
    // Sleeps for the cost of its share; the seconds that this took.
    double work(const std::vector<int>& shares, std::uint64_t round) {
        const int mine = shares[static_cast<std::size_t>(link_.rank())];
        while (begun_ < static_cast<std::uint64_t>(mine)) {
            const auto shard = agent_.start_next();
            if (!shard)
                throw_error<Error>("rank {}: round {} needs {} samples, but no shard may start", link_.rank(),
                                   round, mine);
            begun_ += shards_[*shard].samples;
        }
        begun_ -= static_cast<std::uint64_t>(mine);
        const Stopwatch watch;
        std::this_thread::sleep_for(std::chrono::duration<double>(mine * job_.cost(link_.rank(), round)));
        return watch.seconds();
    }

    double wait() {
        const Stopwatch watch;
        link_.barrier();
        return watch.seconds();
    }

    void decide(std::uint64_t step) {
        auto reports = link_.gather(agent_.report(step, job_.lag, job_.batch, 0, meter_).pack());
        std::vector<std::byte> decision;
        if (scheduler_) decision = scheduler_->decide(reports).pack();
        pending_ =
            std::make_unique<sched::Decision>(sched::Decision::unpack(link_.broadcast(std::move(decision))));
    }

    void apply() {
        agent_.apply(*pending_);
        meter_.mark();
        pending_.reset();
    }

    void count(double wall, double own, double waited, const std::vector<int>& shares) {
        ++rounds_;
        wall_ += wall;
        own_ += own;
        waited_ += waited;
        for (std::size_t r = 0; r < shares.size(); ++r) shares_[r] += shares[r];
    }

    PacedResult result() {
        PacedResult result;
        const double mine[2] = {own_, waited_};
        const auto bytes = std::as_bytes(std::span(mine));
        const auto all = link_.gather({bytes.begin(), bytes.end()});
        if (!scheduler_ || rounds_ == 0) return result;
        std::vector<double> own;
        for (const auto& rank : all) {
            double values[2];
            std::memcpy(values, rank.data(), sizeof values);
            own.push_back(values[0]);
            result.waited_share += values[1] / (values[0] + values[1]) / static_cast<double>(all.size());
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
    std::unique_ptr<sched::Decision> pending_;
    std::uint64_t begun_ = 0;  // samples of begun shards that are not done
    double rounds_ = 0, wall_ = 0, own_ = 0, waited_ = 0;
    std::vector<double> shares_;
};

// What the threads of one job share.
struct Exchange {
    explicit Exchange(int ranks) : barrier(ranks), slots(static_cast<std::size_t>(ranks)) {}
    std::barrier<> barrier;
    std::vector<std::vector<std::byte>> slots;
};

class ThreadLink : public Link {
  public:
    ThreadLink(int rank, Exchange& exchange) : rank_(rank), exchange_(exchange) {}
    int rank() const override { return rank_; }
    int size() const override { return static_cast<int>(exchange_.slots.size()); }

    std::vector<std::vector<std::byte>> gather(std::vector<std::byte> mine) override {
        exchange_.slots[static_cast<std::size_t>(rank_)] = std::move(mine);
        barrier();
        std::vector<std::vector<std::byte>> all;
        if (rank_ == 0) all = exchange_.slots;
        barrier();
        return all;
    }
    std::vector<std::byte> broadcast(std::vector<std::byte> bytes) override {
        if (rank_ == 0) exchange_.slots[0] = std::move(bytes);
        barrier();
        auto copy = exchange_.slots[0];
        barrier();
        return copy;
    }
    void barrier() override { exchange_.barrier.arrive_and_wait(); }

  private:
    int rank_;
    Exchange& exchange_;
};

}  // namespace

double PacedJob::cost(int rank, std::uint64_t round) const {
    return seconds[static_cast<std::size_t>(rank)] * (rank == throttled && round >= onset ? factor : 1);
}

std::uint64_t PacedJob::first_measured() const {
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

void on_threads(int ranks, const std::function<void(Link&)>& body) {
    Exchange exchange(ranks);
    std::mutex mutex;
    std::exception_ptr error;
    {
        std::vector<std::jthread> threads;
        for (int r = 0; r < ranks; ++r)
            threads.emplace_back([&, r] {
                try {
                    ThreadLink link(r, exchange);
                    body(link);
                } catch (...) {
                    const std::lock_guard lock(mutex);
                    if (!error) error = std::current_exception();
                    exchange.barrier.arrive_and_drop();  // the others go on without it, and fail or end
                }
            });
    }
    if (error) std::rethrow_exception(error);
}

}  // namespace divs::bench
