// `divs bench paced`: a training job of paced ranks (they sleep for the cost of their samples) with the real
// scheduler and real sums of a model's gradients. The same file, under SMPI, is the simulated job of
// bench/simulate.sh.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <memory>

#include "bench.hpp"
#include "divs/comm/job.hpp"
#include "divs/core/clock.hpp"
#include "divs/core/error.hpp"
#include "machine.hpp"
#include "world_link.hpp"

namespace divs::bench {
namespace {

struct PacedOptions {
    std::string model = "resnet18", json, name = "equal ranks";
    int pixels = 224, samples = 32;
    double step_ms = 20, decision_ms = 0, adding = 0;
    std::vector<double> speeds;
    std::vector<double> link;
    int cluster_size = 0, tuning = 8, interval = 8;
    std::uint64_t rounds = 40, warm_up = 10, shard_samples = 64;
    bool fixed = false, check = false, shared = false, ping = false;
};

PacedJob job_for(int ranks, const PacedOptions& o) {
    PacedJob job;
    job.name = o.name;
    job.seconds.assign(static_cast<std::size_t>(ranks), 1e-3 * o.step_ms / o.samples);
    // Ranks of another speed stand evenly among the others.
    for (std::size_t i = 0; i < o.speeds.size(); ++i)
        job.seconds[(2 * i + 1) * job.seconds.size() / (2 * o.speeds.size())] /= o.speeds[i];
    job.batch = o.samples * ranks;
    job.rounds = o.rounds;
    job.measured_from = o.warm_up;
    job.shard_samples = o.shard_samples;
    job.interval = o.interval;
    job.decision_seconds = 1e-3 * o.decision_ms;
    return job;
}

void add_figures(Report& report, comm::World& world, const PacedOptions& o, const PacedJob& job,
                 const PacedResult& result, double bytes_sent) {
    const std::string name = fmt::format("paced.ranks{}", world.size());
    double moves = 0;
    for (const sched::Decision& d : result.decisions) moves += static_cast<double>(d.moves.size());
    report.figure(name + ".efficiency", result.efficiency);
    report.figure(name + ".round", 1e3 * result.round_seconds, "ms");
    report.figure(name + ".best", 1e3 * job.best_round(), "ms");
    report.figure(name + ".exposed", 1e3 * result.exposed_seconds, "ms");
    report.figure(name + ".decision_stall", 1e3 * result.decision_seconds, "ms");
    report.figure(name + ".decisions", static_cast<double>(result.decisions.size()));
    report.figure(name + ".moves", moves);
    report.figure(name + ".sent", bytes_sent / static_cast<double>(o.rounds), "bytes a rank and step");
    report.figure(name + ".shards", static_cast<double>((job.rounds * static_cast<std::uint64_t>(job.batch) +
                                                         job.shard_samples - 1) /
                                                        job.shard_samples));
}

void report_on(comm::World& world, const PacedOptions& o, const PacedJob& job, const PacedResult& result,
               const PacedGradients& gradients, bool simulated, double bytes_sent) {
    Report report(simulated ? "paced (simulated)" : "paced",
                  {"ranks", "job", "split", "compute ms", "round ms", "best ms", "efficiency", "exposed ms",
                   "waited", "samples/s"});
    report.row({world.size(), job.name, o.fixed ? "static" : "scheduled", o.step_ms,
                1e3 * result.round_seconds, 1e3 * job.best_round(), result.efficiency,
                1e3 * result.exposed_seconds, result.waited_share, result.samples_per_second});
    add_figures(report, world, o, job, result, bytes_sent);
    report.note(simulated ? "SIMULATED: SimGrid's model of a described machine, not a measurement"
                          : "paced: ranks sleep for the cost of their samples; all else is measured");
    report.note(
        fmt::format("{}, {:.1f} MB of gradients in {} buckets, {} samples a rank, {} rounds, measured "
                    "from round {}",
                    o.model, 1e-6 * static_cast<double>(gradients.bytes()), gradients.buckets(), o.samples,
                    o.rounds, job.first_measured()));
    report.finish(o.json);
}

// Bytes/s that one core adds up in a sum, for a simulated job's --adding: what arrives is in the cache, what it is added
// to is not.
double adding_rate() {
    constexpr std::size_t piece = std::size_t{1} << 16, pieces = 256;
    std::vector<float> into(piece * pieces, 1.0F), from(piece, 1.0F);
    double best = 0;
    for (int i = 0; i < 9; ++i) {
        const Stopwatch watch;
        for (std::size_t at = 0; at < into.size(); at += piece)
            for (std::size_t k = 0; k < piece; ++k) into[at + k] += from[k];
        best = std::max(best, static_cast<double>(into.size() * sizeof(float)) / watch.seconds());
    }
    return into[0] > 0 ? best : 0;
}

// Latency of a short message, and bytes/s that every rank sends while all do, in a sum that is not of a model's length
// and without the time of adding: what a platform is described by.
void ping(comm::World& world, const PacedOptions& o, bool simulated) {
    constexpr int rounds = 9, turns = 50;
    std::vector<float> values(std::size_t{4} << 20);
    const double others = 1 - 1.0 / world.size(), bytes = static_cast<double>(values.size() * sizeof(float)) * others;
    const double adding = bytes / adding_rate();
    std::vector<double> latency, bandwidth;
    const double hops = std::ceil(std::log2(world.size()));
    std::int64_t token = 0;
    for (int round = -1; round < rounds; ++round) {
        world.barrier().wait();
        Stopwatch watch;
        for (int turn = 0; turn < turns; ++turn)
            world.broadcast(std::as_writable_bytes(std::span(&token, 1)), turn % 2).wait();
        const double short_one = watch.lap() / turns / hops;
        world.barrier().wait();
        watch.lap();
        world.sum(std::span(values)).wait();
        double long_one = watch.lap();
        world.maximum(std::span(&long_one, 1)).wait();
        if (round < 0) continue;
        latency.push_back(short_one);
        bandwidth.push_back(2 * bytes / std::max(long_one - adding, 0.1 * long_one));
    }
    if (world.rank() != 0) return;
    Report report(simulated ? "ping (simulated)" : "ping", {"ranks", "latency us", "GB/s"});
    report.row({world.size(), 1e6 * median(latency), 1e-9 * median(bandwidth)});
    report.figure("latency", median(latency), "s");
    report.figure("bandwidth", median(bandwidth), "bytes/s");
    report.finish(o.json);
}

void train(comm::World& world, const PacedOptions& o, bool simulated) {
    const PacedJob job = job_for(world.size(), o);
    if (job.rounds < job.first_measured() + 3)
        throw_error<ConfigError>("--rounds {}: expected at least {}", job.rounds, job.first_measured() + 3);
    if (o.speeds.size() > static_cast<std::size_t>(world.size()))
        throw_error<ConfigError>("--speeds of {} ranks, but there are {}", o.speeds.size(), world.size());
    ModelGradients model = gradients_of(o.model, o.pixels);
    Floats arena(model.elements, o.shared);
    PacedGradients gradients(world, std::move(model), arena.values(), o.tuning);
    if (o.check) gradients.check();
    WorldLink link(world, &gradients);
    const auto sent = [&] {
        return static_cast<double>(world.bytes().bytes(Tier::cluster) + world.bytes().bytes(Tier::centre));
    };
    const double before = sent();
    const PacedResult result = run_paced(link, job, !o.fixed);
    if (world.rank() == 0) report_on(world, o, job, result, gradients, simulated, sent() - before);
}

void run(const PacedOptions& o) {
    const Machine on = machine();
    comm::WorldOptions options = on.world;
    options.cluster_size = o.cluster_size;
    options.emulate_adding = 1e9 * o.adding;
    options.add = !o.shared || !on.simulated;
    if (!o.link.empty()) options.emulate_cluster = options.emulate_centre = {o.link[0], o.link[1]};
    comm::run_job(options, [&](comm::World& world) {
        o.ping&& world.size() > 1 ? ping(world, o, on.simulated) : train(world, o, on.simulated);
        return 0;
    });
}

}  // namespace

void add_paced(CLI::App& bench) {
    const auto o = std::make_shared<PacedOptions>();
    CLI::App& app = *bench.add_subcommand(
        "paced", "A training job whose ranks sleep instead of computing; scheduler and sums are real");
    app.add_option("--name", o->name, "What the table calls the job");
    app.add_option("--model", o->model, "A model of the zoo, for its gradients");
    app.add_option("--pixels", o->pixels, "Height and width of its images")->check(CLI::Range(1, 4096));
    app.add_option("--samples", o->samples, "Samples a rank and round, at equal speeds")
        ->check(CLI::Range(1, 65536));
    app.add_option("--step-ms", o->step_ms, "What they cost at speed 1")->check(CLI::Range(0.01, 1e6));
    app.add_option("--speeds", o->speeds, "Speeds of single ranks that differ from the others' 1")
        ->delimiter(',')
        ->check(CLI::Range(0.01, 100.0));
    app.add_option("--rounds", o->rounds, "Rounds of the job")->check(CLI::Range(4, 100000));
    app.add_option("--warm-up", o->warm_up, "Rounds before those that count")->check(CLI::Range(1, 100000));
    app.add_option("--interval", o->interval, "Rounds between decisions")->check(CLI::Range(1, 100000));
    app.add_option("--shard-samples", o->shard_samples, "Samples a shard")->check(CLI::Range(1, 1000000));
    app.add_option("--tuning", o->tuning, "Rounds before bucket lengths are tuned; 0: never")
        ->check(CLI::Range(0, 1000));
    app.add_option("--cluster-size", o->cluster_size, "Ranks a cluster; 0: those of a host")
        ->check(CLI::Range(0, 1000000));
    app.add_option("--adding", o->adding, "GB/s at which sums are added up; 0: as this machine does it")
        ->check(CLI::Range(0.0, 1e6));
    app.add_option("--link", o->link, "Emulated: seconds of latency,bytes/s of every rank's link")
        ->delimiter(',')
        ->expected(2)
        ->check(CLI::NonNegativeNumber);
    app.add_option("--decision-ms", o->decision_ms, "Rank 0 takes so much longer for a decision")
        ->check(CLI::Range(0.0, 1e6));
    app.add_flag("--static", o->fixed, "Nothing moves");
    app.add_flag("--ping", o->ping, "No job: the latency and bandwidth of messages between the ranks");
    app.add_flag("--check", o->check, "Sum known numbers first");
    app.add_flag("--shared-gradients", o->shared, "Simulated ranks keep their gradients in the same memory");
    app.add_option("--json", o->json, "JSON file (-: JSON instead of the table)");
    app.add_flag_callback(
        "--adding-rate",
        [] {
            fmt::print("{:.3f}\n", 1e-9 * adding_rate());
            throw CLI::Success();
        },
        "Print the GB/s at which one core of this machine adds up, and end");
    app.callback([o] {
        if (o->check && o->shared) throw_error<ConfigError>("--check needs gradients that are not shared");
        run(*o);
    });
}

}  // namespace divs::bench
