// `divs bench decide`: rank 0's own time for one decision of the scheduler, from packed reports to the packed
// decision, over numbers of ranks and shards. Nothing is sent: what messages cost is another matter
// (bench/simulate.sh).
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "bench.hpp"
#include "divs/core/clock.hpp"
#include "divs/core/error.hpp"
#include "divs/core/random.hpp"
#include "divs/sched/scheduler.hpp"

namespace divs::bench {
namespace {

struct DecideOptions {
    std::vector<int> ranks{64, 256, 1024};
    std::vector<std::uint32_t> shards{1000, 10000, 100000};
    int repeats = 5;
    std::string json;
};

constexpr int decisions_a_repeat = 4;
constexpr std::uint64_t shard_samples = 64;

// The ranks of a job as their reports show them: what they hold, and speeds of which some change before each
// decision.
class Fleet {
  public:
    Fleet(int ranks, std::uint32_t shards, std::uint64_t seed)
        : random_(seed, Stream::test), ranks_(ranks), seconds_(static_cast<std::size_t>(ranks), 1e-3) {
        for (std::uint32_t id = 0; id < shards; ++id)
            shards_.push_back({id, shard_samples - random_.below(draws_++, 16), 1'000'000});
    }
    const std::vector<sched::Shard>& shards() const { return shards_; }
    void hold(sched::Assignment assignment) { leases_ = std::move(assignment.leases); }

    // Every twentieth rank gets another speed, between a quarter and twice the usual.
    void change_speeds() {
        for (double& seconds : seconds_)
            if (random_.uniform(draws_++) < 0.05) seconds = 1e-3 / (0.25 + 1.75 * random_.uniform(draws_++));
    }

    std::vector<std::vector<std::byte>> reports(std::uint64_t step) const {
        std::vector<std::vector<std::byte>> all;
        for (int rank = 0; rank < ranks_; ++rank) {
            const auto r = static_cast<std::size_t>(rank);
            sched::RankReport report;
            report.rank = rank;
            report.step = step;
            report.seconds_per_sample_compute = seconds_[r];
            report.relative_error = 0.01;
            report.rounds_measured = 16;
            report.round_seconds = 32 * seconds_[r];
            for (const std::uint32_t shard : leases_[r]) report.samples_left += shards_[shard].samples;
            report.work_left = static_cast<double>(report.samples_left);
            report.offered.assign(leases_[r].begin() + !leases_[r].empty(),
                                  leases_[r].end());  // one is begun
            all.push_back(report.pack());
        }
        return all;
    }

    void apply(const sched::Decision& decision) {
        for (const sched::Move& move : decision.moves) {
            std::erase(leases_[static_cast<std::size_t>(move.from)], move.shard);
            leases_[static_cast<std::size_t>(move.to)].push_back(move.shard);
        }
    }

  private:
    Random random_;
    std::uint64_t draws_ = 0;
    int ranks_;
    std::vector<double> seconds_;  // of a sample
    std::vector<sched::Shard> shards_;
    std::vector<std::vector<std::uint32_t>> leases_;
};

struct Result {
    std::vector<double> seconds;  // of each decision
    double moves = 0, bytes = 0;  // mean, of a decision
};

Result measure(int ranks, std::uint32_t shards, int repeats) {
    Result result;
    for (int repeat = 0; repeat < repeats; ++repeat) {
        Fleet fleet(ranks, shards, static_cast<std::uint64_t>(repeat));
        sched::SchedulerOptions options;
        options.batch = 32 * ranks;
        sched::Scheduler scheduler(ranks, fleet.shards(), options);
        fleet.hold(scheduler.assign(fleet.shards(), 1, 0));
        for (int i = 0; i < decisions_a_repeat; ++i) {
            fleet.change_speeds();
            const auto reports = fleet.reports(static_cast<std::uint64_t>(20 * i));
            const Stopwatch watch;
            const sched::Decision decision = scheduler.decide(reports);
            const auto packed = decision.pack();
            result.seconds.push_back(watch.seconds());
            fleet.apply(decision);
            result.moves += static_cast<double>(decision.moves.size()) / (repeats * decisions_a_repeat);
            result.bytes += static_cast<double>(packed.size()) / (repeats * decisions_a_repeat);
        }
    }
    return result;
}

void run(const DecideOptions& o) {
    Report report("decide", {"ranks", "shards", "median ms", "largest ms", "moves", "decision KB"});
    for (const int ranks : o.ranks)
        for (const std::uint32_t shards : o.shards) {
            const Result result = measure(ranks, shards, o.repeats);
            const double typical = median(result.seconds), largest = std::ranges::max(result.seconds);
            report.row({ranks, shards, 1e3 * typical, 1e3 * largest, result.moves, 1e-3 * result.bytes});
            report.figure(fmt::format("decide.ranks{}.shards{}", ranks, shards), 1e3 * typical, "ms");
        }
    report.note(fmt::format("each over {} decisions; before each a twentieth of the ranks changes its speed",
                            o.repeats * decisions_a_repeat));
    report.finish(o.json);
}

}  // namespace

void add_decide(CLI::App& bench) {
    const auto o = std::make_shared<DecideOptions>();
    CLI::App& app = *bench.add_subcommand("decide", "The scheduler's own time for a decision, on rank 0");
    app.add_option("--ranks", o->ranks, "Numbers of ranks")->delimiter(',')->check(CLI::Range(1, 100000));
    app.add_option("--shards", o->shards, "Numbers of shards")
        ->delimiter(',')
        ->check(CLI::Range(1, 10000000));
    app.add_option("--repeats", o->repeats, "Runs of four decisions each")->check(CLI::Range(1, 1000));
    app.add_option("--json", o->json, "JSON file (-: JSON instead of the table)");
    app.callback([o] { run(*o); });
}

}  // namespace divs::bench
