// `divs bench allreduce`, under mpirun: (a) our sums, as messages and in memory that the ranks share, against
// MPI_Allreduce on the same ranks, in turn, over lengths; (b) training steps of a real model on noise, its
// link slowed until communication takes a share of the compute: how much of it sticks out with overlap and
// without, in turn.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <thread>

#include "bench.hpp"
#include "divs/comm/bucket_tuner.hpp"
#include "divs/comm/buckets.hpp"
#include "divs/comm/job.hpp"
#include "divs/core/clock.hpp"
#include "divs/core/random.hpp"
#include "divs/nn/model.hpp"

namespace divs::bench {
namespace {

struct AllreduceOptions {
    std::vector<std::size_t> kilobytes{1, 10, 100, 1000, 10000, 100000};
    int rounds = 9;
    bool no_overlap_part = false;
    std::string model = "resnet18", json;
    int size = 112, batch = 8, threads = 1, steps = 9;
    double share = 0.3, paced = 0;
};

double slowest(comm::World& world, double seconds) {
    world.maximum(std::span(&seconds, 1)).wait();
    return seconds;
}

double least(comm::World& world, double seconds) {
    return -slowest(world, -seconds);
}

// ------------------------------------------------------------------------------------------ (a) sum against
// library

// Seconds of one sum as its caller sees them: hand-over to the communication thread and back included.
double time_ours(comm::World& world, std::span<float> values, int repeats) {
    world.barrier().wait();
    const Stopwatch clock;
    for (int i = 0; i < repeats; ++i) world.sum(values).wait();
    return slowest(world, clock.seconds() / repeats);
}

// Seconds of one sum in memory that the ranks share, as its caller sees them.
double time_shared(comm::World& world, comm::BucketSum& sum, int repeats) {
    world.barrier().wait();
    const Stopwatch clock;
    for (int i = 0; i < repeats; ++i) {
        sum.post({0, sum.size()});
        sum.join();
        sum.finish();
    }
    return slowest(world, clock.seconds() / repeats);
}

// Seconds inside MPI_Allreduce alone.
double time_library(comm::World& world, std::span<float> values, int repeats) {
    world.barrier().wait();
    double seconds = 0;
    for (int i = 0; i < repeats; ++i) {
        const comm::Work work = world.sum_by_library(values);
        work.wait();
        seconds += work.end_seconds() - work.start_seconds();
    }
    return slowest(world, seconds / repeats);
}

void sweep(comm::World& world, const AllreduceOptions& o, Report& report) {
    for (const std::size_t kilobytes : o.kilobytes) {
        std::vector<float> values(kilobytes * 1000 / sizeof(float), 0.0F);
        const int repeats = kilobytes < 1000 ? 20 : 1;
        const auto memory = comm::SharedMemory::make(world, values.size());
        const auto shared = memory ? comm::make_shared_sum(world, memory) : nullptr;
        std::vector<std::function<double()>> ways{[&] { return time_ours(world, values, repeats); },
                                                  [&] { return time_library(world, values, repeats); }};
        if (shared) ways.push_back([&] { return time_shared(world, *shared, repeats); });
        const auto seconds = interleaved(o.rounds, 2, ways);
        const double bytes = static_cast<double>(kilobytes) * 1e3, ratio = seconds[1] / seconds[0];
        nlohmann::json shared_ms, shared_ratio;  // null where memory cannot be shared
        if (shared) shared_ms = 1e3 * seconds[2], shared_ratio = seconds[1] / seconds[2];
        report.row({kilobytes, 1e3 * seconds[0], 1e3 * seconds[1], 1e-9 * bytes / seconds[0], ratio,
                    shared_ms, shared_ratio});
        if (kilobytes != o.kilobytes.back()) continue;
        const auto name = kilobytes % 1000 == 0
                              ? fmt::format("allreduce.ranks{}.{}MB", world.size(), kilobytes / 1000)
                              : fmt::format("allreduce.ranks{}.{}KB", world.size(), kilobytes);
        report.figure(name + ".against_mpi", ratio);
        if (shared) report.figure(name + ".shared.against_mpi", shared_ratio);
    }
}

// --------------------------------------------------------------------------------------- (b) overlap with a
// backward

// A model on noise, its gradients summed over the ranks in buckets.
class Job {
  public:
    Job(comm::World& world, const AllreduceOptions& o)
        : world_(world),
          model_(nn::zoo_model(o.model, {100, 1, o.size, o.size}),
                 nn::make_backend("cpu", {o.threads, false})),
          paced_(o.paced) {
        model_.initialise(1);
        const Random random(1, Stream::test, static_cast<std::uint64_t>(world.rank()));
        pixels_.resize(static_cast<std::size_t>(o.batch) * static_cast<std::size_t>(o.size * o.size) * 3);
        for (std::size_t i = 0; i < pixels_.size(); ++i)
            pixels_[i] = static_cast<std::uint8_t>(random.bits(i));
        labels_.resize(static_cast<std::size_t>(o.batch));
        samples_.resize(static_cast<std::size_t>(o.batch));
        for (const auto& view : model_.parameter_views()) starts_.push_back(view.offset);
    }

    std::size_t gradient_bytes() { return model_.gradients().size() * sizeof(float); }
    double backward_seconds() const { return paced_ > 0 ? paced_ * 2 / 3 : model_.last_step().backward; }

    void plan(const comm::BucketProposal& buckets) {
        for (const bool overlap : {false, true})
            reducers_[overlap] = std::make_unique<comm::BucketReducer>(
                world_, model_.gradients(),
                comm::plan_buckets(starts_, model_.gradients().size(), buckets.bucket_bytes,
                                   buckets.first_bytes),
                overlap);
    }

    // Seconds of a step without any communication.
    double compute() {
        world_.barrier().wait();
        const Stopwatch clock;
        train({});
        return slowest(world_, clock.seconds());
    }

    // Of the rank that computed longest: its wait is communication alone, the others' is for that rank too.
    struct Step {
        double seconds = 0, exposed = 0, busy = 0;
    };
    Step step(bool overlap) {
        comm::BucketReducer& reducer = *reducers_[overlap];
        world_.barrier().wait();
        const Stopwatch clock;
        train([&](nn::GradientRange range) { reducer.ready({range.begin, range.end}); });
        const double exposed = reducer.finish(), seconds = clock.seconds();
        return {slowest(world_, seconds), least(world_, exposed), least(world_, reducer.busy_seconds())};
    }

  private:
    void train(const nn::Model::GradientReady& ready) {
        if (paced_ > 0) return sleep_through(ready);
        model_.train_step({pixels_, labels_, samples_, 1, 0}, {}, ready);
    }

    // A third of the step for the forward pass; the backward pass spends its time in proportion to
    // parameters.
    void sleep_through(const nn::Model::GradientReady& ready) {
        const double start = now_seconds();
        const auto until = [&](double share) {
            std::this_thread::sleep_for(
                std::chrono::duration<double>(start + share * paced_ - now_seconds()));
        };
        const std::size_t size = model_.gradients().size();
        std::size_t low = size;
        for (std::size_t i = starts_.size(); i-- > 0; low = starts_[i]) {
            until(1 - 2.0 / 3 * static_cast<double>(starts_[i]) / static_cast<double>(size));
            if (ready) ready({starts_[i], low});
        }
    }

    comm::World& world_;
    nn::Model model_;
    double paced_;  // seconds of a step that sleeps; 0: a real one
    std::vector<std::size_t> starts_;
    std::vector<std::uint8_t> pixels_;
    std::vector<std::int32_t> labels_;
    std::vector<std::uint64_t> samples_;
    std::unique_ptr<comm::BucketReducer> reducers_[2];  // without overlap, with it
};

void pace_link(comm::World& world, Job& job, double seconds) {
    const double n = world.size(), bytes = static_cast<double>(job.gradient_bytes());
    const double rate = 2 * (n - 1) / n * bytes / seconds;  // of what each rank sends, round the ring
    world.emulate({0, rate}, {0, rate});
    const double backward = slowest(world, job.backward_seconds());
    job.plan(comm::propose_buckets({300e-6, seconds / bytes}, job.gradient_bytes(), backward));
}

// Slows the link until the sums of a step take `share` of its compute, of which the sums' own work is part.
// Gives the compute seconds.
double slow_link(comm::World& world, Job& job, const AllreduceOptions& o) {
    std::vector<double> compute;
    for (int i = -2; i < o.steps; ++i) {
        const double seconds = job.compute();
        if (i >= 0) compute.push_back(seconds);
    }
    const double wanted = o.share * median(compute);
    double link = wanted;
    for (int turn = 0; turn < 3; ++turn) {
        pace_link(world, job, link);
        std::vector<double> busy;
        for (int i = 0; i < 3; ++i) busy.push_back(job.step(false).busy);
        link = std::max(wanted / 100, link + wanted - median(busy));
    }
    pace_link(world, job, link);
    return median(compute);
}

void overlap(comm::World& world, const AllreduceOptions& o, Report& report) {
    Job job(world, o);
    const double before = slow_link(world, job, o);
    std::vector<double> compute{before}, seconds[2], exposed[2], busy[2];
    for (int i = -2; i < o.steps; ++i)
        for (const bool mode : {false, true}) {
            if (mode) compute.push_back(job.compute());
            const Job::Step step = job.step(mode);
            if (i < 0) continue;
            seconds[mode].push_back(step.seconds);
            exposed[mode].push_back(step.exposed);
            busy[mode].push_back(step.busy);
        }
    world.emulate({}, {});
    const std::string name = fmt::format("overlap.ranks{}.{}", world.size(), o.model);
    report.figure(name + ".compute", 1e3 * median(compute), "ms");
    report.figure(name + ".communication_share", median(busy[false]) / median(compute));
    report.figure(name + ".step_without", 1e3 * median(seconds[false]), "ms");
    report.figure(name + ".step_with", 1e3 * median(seconds[true]), "ms");
    report.figure(name + ".exposed_without", 1e3 * median(exposed[false]), "ms");
    report.figure(name + ".exposed_with", 1e3 * median(exposed[true]), "ms");
    report.figure(name + ".exposed_ratio", median(exposed[true]) / median(exposed[false]));
    if (o.paced > 0) report.note("overlap: paced: the steps sleep instead of computing");
    report.note(fmt::format("overlap: {} at {}x{}, batch {} a rank, {} thread(s), {:.1f} MB of gradients",
                            o.model, o.size, o.size, o.batch, o.threads,
                            1e-6 * static_cast<double>(job.gradient_bytes())));
}

void run(const AllreduceOptions& o) {
    comm::run_job({}, [&](comm::World& world) {
        Report report("allreduce", {"KB", "ours ms", "MPI_Allreduce ms", "ours GB/s", "ours against MPI",
                                    "shared ms", "shared against MPI"});
        sweep(world, o, report);
        if (!o.no_overlap_part) overlap(world, o, report);
        report.note(fmt::format("{} ranks on {} host(s)", world.size(), world.size() / world.local_size()));
        if (world.rank() == 0) report.finish(o.json);
        return 0;
    });
}

}  // namespace

void add_allreduce(CLI::App& bench) {
    CLI::App& command = *bench.add_subcommand(
        "allreduce",
        "Sums over ranks against MPI_Allreduce, and how much of them overlap hides; run it under mpirun");
    auto o = std::make_shared<AllreduceOptions>();
    command.add_option("--kilobytes", o->kilobytes, "Lengths of the sums");
    command.add_option("--rounds", o->rounds, "Measurements a length; their median counts")
        ->check(CLI::Range(1, 10000));
    command.add_flag("--sums-only", o->no_overlap_part, "Leave the training steps out");
    command.add_option("--model", o->model, "A model of the zoo, for the training steps");
    command.add_option("--size", o->size, "Height and width in pixels")->check(CLI::Range(1, 4096));
    command.add_option("--batch", o->batch, "Images a rank and step")->check(CLI::Range(1, 65536));
    command.add_option("--threads", o->threads, "Compute threads a rank")->check(CLI::Range(1, 1024));
    command.add_option("--steps", o->steps, "Measured steps; their median counts")
        ->check(CLI::Range(1, 100000));
    command.add_option("--share", o->share, "Communication as a share of compute")
        ->check(CLI::Range(0.01, 10.0));
    command.add_option("--paced", o->paced,
                       "Seconds of a step that sleeps instead of computing, for more ranks than cores");
    command.add_option("--json", o->json, "JSON file (-: JSON instead of the table)");
    command.callback([o] { run(*o); });
}

}  // namespace divs::bench
