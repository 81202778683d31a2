// `divs bench balance`: what the scheduler makes of unequal ranks, against the static split. The ranks are
// paced (they sleep for the cost of their samples): the figures tell about scheduling, not about decode or
// compute.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "bench.hpp"
#include "divs/comm/world.hpp"
#include "divs/core/error.hpp"
#include "paced_job.hpp"
#include "thread_link.hpp"
#include "world_link.hpp"

namespace divs::bench {
namespace {

struct BalanceOptions {
    int ranks = 4;
    double sample_ms = 2, factor = 4;
    std::uint64_t rounds = 72;
    int batch = 48, repeats = 3;
    std::string json;
};

// The throttled rank, and with four ranks the levels of heterogeneity of OmniLearn (Tyagi and Sharma, 2025),
// as the speeds that their batch shares of 48 imply.
std::vector<PacedJob> jobs_for(int ranks, const BalanceOptions& options) {
    PacedJob job;
    job.batch = options.batch;
    job.rounds = options.rounds;
    job.seconds.assign(static_cast<std::size_t>(ranks), options.sample_ms * 1e-3);
    std::vector<PacedJob> jobs{job};
    jobs[0].name = fmt::format("one rank {:g}x slower", options.factor);
    jobs[0].throttled = ranks - 1;
    jobs[0].factor = options.factor;
    jobs[0].onset = 16;
    if (ranks != 4) return jobs;
    for (const std::vector<double>& shares :
         {std::vector<double>{12, 12, 12, 12}, {12, 12, 8, 16}, {9, 9, 6, 24}, {6, 6, 4, 32}}) {
        job.name = fmt::format("speeds {:g}/{:g}/{:g}/{:g}", shares[0], shares[1], shares[2], shares[3]);
        for (std::size_t r = 0; r < 4; ++r) job.seconds[r] = options.sample_ms * 1e-3 * 12 / shares[r];
        jobs.push_back(job);
    }
    return jobs;
}

std::string shares_text(const std::vector<double>& shares) {
    std::string text;
    for (double share : shares) text += fmt::format("{}{:.1f}", text.empty() ? "" : "/", share);
    return text;
}

void add_rows(Report& report, const PacedJob& job, const PacedResult& fixed, const PacedResult& scheduled) {
    for (const PacedResult* result : {&fixed, &scheduled})
        report.row({job.name, result == &fixed ? "static" : "scheduled", result->round_seconds * 1e3,
                    job.best_round() * 1e3, result->efficiency, result->imbalance, result->waited_share,
                    result->samples_per_second, shares_text(result->shares)});
    for (const sched::Decision& d : scheduled.decisions) {
        if (!d.moves.empty())
            report.note(fmt::format(
                "{}: decision {} after round {}: {}, {} shards; {}; expected gain {:.1f} ms a round",
                job.name, d.number, d.report_step, verdict_name(d.verdict), d.moves.size(), d.reason,
                d.expected_gain * 1e3));
        if (d.last_moved)
            report.note(fmt::format("{}: decision {}: expected gain {:.1f} ms, measured {:.1f} ms", job.name,
                                    d.last_moved, d.last_expected_gain * 1e3, d.last_measured_gain * 1e3));
    }
}

void add_figures(Report& report, const PacedJob& job, const PacedResult& fixed,
                 const PacedResult& scheduled) {
    if (job.throttled >= 0) {
        report.figure("balance.efficiency.throttled", scheduled.efficiency);
        report.figure("balance.efficiency.throttled.static", fixed.efficiency);
        report.figure("balance.gain.throttled", scheduled.samples_per_second / fixed.samples_per_second, "x");
        return;
    }
    report.figure("balance.efficiency." + job.name.substr(job.name.find(' ') + 1), scheduled.efficiency);
}

// The run whose rounds took the median time.
const PacedResult& middle(std::vector<PacedResult>& results) {
    std::ranges::sort(results, {}, &PacedResult::round_seconds);
    return results[results.size() / 2];
}

// All jobs, on every rank; rank 0 reports.
void run_all(Link& link, const BalanceOptions& options, bool threads) {
    Report report("balance", {"job", "split", "round ms", "best ms", "eta", "imbalance", "waited",
                              "samples/s", "mean shares"});
    for (const PacedJob& job : jobs_for(link.size(), options)) {
        if (job.rounds < job.first_measured() + 8)
            throw_error<ConfigError>("--rounds {}: expected at least {}", job.rounds,
                                     job.first_measured() + 8);
        std::vector<PacedResult> fixed, scheduled;
        for (int i = 0; i < options.repeats; ++i) {
            fixed.push_back(run_paced(link, job, false));
            scheduled.push_back(run_paced(link, job, true));
        }
        if (link.rank() != 0) continue;
        const PacedResult &before = middle(fixed), &after = middle(scheduled);
        add_rows(report, job, before, after);
        add_figures(report, job, before, after);
    }
    if (link.rank() != 0) return;
    report.note(fmt::format(
        "{} paced ranks ({}): each sleeps for the cost of its samples, nothing is decoded or computed",
        link.size(),
        threads ? "simulated by threads of one process; start with mpirun -n 4 for real ones"
                : "processes under MPI"));
    report.note(fmt::format(
        "mean over the rounds from three decisions after the change (or the start) to the end, of the "
        "median of {} runs; eta = best / round",
        options.repeats));
    report.finish(options.json);
}

void run(const BalanceOptions& options) {
    comm::World world;
    if (world.size() > 1) {
        WorldLink link(world);
        run_all(link, options, false);
    } else {
        on_threads(options.ranks, [&](Link& link) { run_all(link, options, true); });
    }
}

}  // namespace

void add_balance(CLI::App& bench) {
    const auto options = std::make_shared<BalanceOptions>();
    CLI::App& app = *bench.add_subcommand(
        "balance", "Unequal ranks: the scheduler against the static split (mpirun -n 4, or threads)");
    app.add_option("--ranks", options->ranks, "ranks that threads stand for, without mpirun")
        ->check(CLI::Range(2, 64));
    app.add_option("--sample-ms", options->sample_ms, "cost of a sample at speed 1")
        ->check(CLI::Range(0.01, 1000.0));
    app.add_option("--factor", options->factor, "how much slower the throttled rank becomes")
        ->check(CLI::Range(1.0, 1000.0));
    app.add_option("--rounds", options->rounds, "rounds of each job")->check(CLI::Range(50, 100000));
    app.add_option("--repeats", options->repeats, "runs of each job and split, in turn; the median counts")
        ->check(CLI::Range(1, 99));
    app.add_option("--batch", options->batch, "global batch, samples")->check(CLI::Range(1, 65536));
    app.add_option("--json", options->json,
                   "also write JSON to this file; -: to stdout, instead of the table");
    app.callback([options] { run(*options); });
}

}  // namespace divs::bench
