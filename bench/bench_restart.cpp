// `divs bench restart`: what stopping and going on costs. (a) A job that goes on from a checkpoint, started
// as a user starts it: seconds to the end of its first step, those of loading data apart. (b) How long a
// checkpoint stops training, against a copy of the state in memory, in turn; and how much the steps beside
// its writing are slowed.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>

#include "bench.hpp"
#include "divs/core/build_info.hpp"
#include "divs/core/clock.hpp"
#include "divs/core/error.hpp"
#include "divs/core/random.hpp"
#include "divs/io/temporary_folder.hpp"
#include "divs/nn/model.hpp"
#include "divs/train/checkpoint.hpp"
#include "divs/video/test_clip.hpp"

namespace divs::bench {
namespace {

namespace fs = std::filesystem;

struct RestartOptions {
    std::string model = "resnet18", json, folder;
    int size = 112, batch = 16, threads = 0, ranks = 0, rounds = 5;
};

// ------------------------------------------------------------------------------------------ (a) start of a
// job

// Two classes of short videos and a configuration that trains on them: a step or two an epoch.
void write_job(const fs::path& folder, const RestartOptions& o) {
    constexpr int videos = 4, frames = 32;
    std::ofstream labels(folder / "labels.tsv");
    labels << "path\tlabel\tsplit\n";
    for (int video = 0; video < videos; ++video) {
        const std::string name = fmt::format("v{}.mp4", video);
        video::write_test_clip(folder / name, {320, 240, frames});
        labels << fmt::format("{}\t{}\ttrain\n", name, video % 2 ? "odd" : "even");
    }
    std::ofstream(folder / "job.toml") << fmt::format(
        "[data]\ndataset = \".\"\n[clip]\nhop = {}\n[model]\nname = \"{}\"\nheight = {}\nwidth = {}\nthreads "
        "= {}\n"
        "[train]\nbatch = {}\nfolder = \"run\"\n",
        std::max(1, videos * frames / (2 * o.batch)), o.model, o.size, o.size, o.threads, o.batch);
}

// Trains to the end of that epoch; the program is this one.
void train(const fs::path& folder, const RestartOptions& o, int epochs) {
    const std::string launcher = o.ranks > 0 ? fmt::format("mpirun -n {} ", o.ranks) : "";
    const std::string command =
        fmt::format("{}'{}' train '{}' --set train.epochs={} >'{}' 2>&1", launcher,
                    fs::read_symlink("/proc/self/exe").string(), (folder / "job.toml").string(), epochs,
                    (folder / "log").string());
    if (const int code = std::system(command.c_str()); code != 0) {
        std::ifstream log(folder / "log");
        throw_error<Error>("the job failed: {}\n{}", command,
                           std::string{std::istreambuf_iterator<char>(log), {}});
    }
}

// The last start that the run's metrics tell of.
nlohmann::json last_start(const fs::path& folder) {
    std::ifstream metrics(folder / "run" / "metrics.jsonl");
    nlohmann::json start;
    for (std::string line; std::getline(metrics, line);)
        if (auto object = nlohmann::json::parse(line); object["kind"] == "start") start = std::move(object);
    if (start.is_null())
        throw_error<Error>("{}: the job did not say when its first step was done", folder.string());
    return start;
}

void measure_start(const fs::path& folder, const RestartOptions& o, Report& report) {
    write_job(folder, o);
    train(folder, o, 1);
    std::map<std::string, std::vector<double>> seconds;
    for (int round = 0; round < o.rounds; ++round) {
        train(folder, o, round + 2);
        const nlohmann::json start = last_start(folder);
        for (const auto& [name, value] : start.items())
            if (value.is_number_float()) seconds[name].push_back(value);
        seconds["restart"].push_back(start.at("seconds").get<double>() - start.at("loading").get<double>());
    }
    for (const auto& [name, text] : {std::pair{"launch", "start: libraries, configuration, MPI"},
                                     {"data", "start: catalogue (loading data)"},
                                     {"model", "start: model"},
                                     {"checkpoint", "start: reading the checkpoint"},
                                     {"decoder", "start: choice of decoder"},
                                     {"schedule", "start: scheduler"},
                                     {"clips", "start: first clips (loading data)"},
                                     {"first_step", "start: first step"}})
        report.row({text, 1e3 * median(seconds[name])});
    report.figure("restart.first_step", median(seconds["restart"]),
                  "s from the job's start, without loading data");
}

// ------------------------------------------------------------------------------------------------- (b) the
// stall

struct State {
    explicit State(const RestartOptions& o)
        : model(nn::zoo_model(o.model, {100, 1, o.size, o.size}),
                nn::make_backend("cpu", {o.threads > 0 ? o.threads : usable_cores(), false})),
          momentum(model.parameters().size()) {
        model.initialise(1);
        const Random random(1, Stream::test);
        pixels.resize(static_cast<std::size_t>(o.batch) * static_cast<std::size_t>(o.size * o.size) * 3);
        for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>(random.bits(i));
        labels.resize(static_cast<std::size_t>(o.batch));
        samples.resize(static_cast<std::size_t>(o.batch));
    }
    train::StateArrays arrays() {
        return train::checkpoint_arrays(model, {{"momentum", momentum}});
    }
    double step() {
        const Stopwatch watch;
        model.train_step({pixels, labels, samples, 1, 0}, {}, {});
        return watch.seconds();
    }

    nn::Model model;
    std::vector<float> momentum;
    std::vector<std::uint8_t> pixels;
    std::vector<std::int32_t> labels;
    std::vector<std::uint64_t> samples;
};

// Seconds of a copy of all arrays into memory that is there already.
double time_copy(const std::vector<train::ArrayView>& arrays, std::vector<float>& into) {
    const Stopwatch watch;
    std::size_t at = 0;
    for (const auto& array : arrays) {
        std::memcpy(into.data() + at, array.values.data(), array.values.size_bytes());
        at += array.values.size();
    }
    return watch.seconds();
}

void measure_stall(const fs::path& folder, const RestartOptions& o, Report& report) {
    State state(o);
    const train::StateArrays held = state.arrays();
    const auto& arrays = held.arrays;
    std::size_t elements = 0;
    for (const auto& array : arrays) elements += array.values.size();
    std::vector<float> copy(elements);
    train::CheckpointStore store(folder / "stall", 2, false);
    store.reserve(arrays);
    train::CheckpointInfo info;
    info.model_json = nn::to_json(state.model.spec());

    std::vector<double> quiet, lost;
    for (int i = 0; i < 2 + o.rounds; ++i) {
        const double seconds = state.step();
        if (i >= 2) quiet.push_back(seconds);
    }
    const double step = median(quiet);
    const auto stop = interleaved(o.rounds, 1,
                                  {[&] { return time_copy(arrays, copy); },
                                   [&] {
                                       ++info.step;
                                       const Stopwatch watch;
                                       store.save(info, arrays);
                                       const double stalled = watch.seconds();
                                       // Steps go on while the thread writes.
                                       double beside = 0;
                                       for (std::int64_t before = store.saves(); store.saves() == before;)
                                           beside += state.step() - step;
                                       lost.push_back(beside);
                                       store.finish();
                                       return stalled;
                                   }});
    report.row(
        {fmt::format("copy of the state, {:.0f} MB", 4e-6 * static_cast<double>(elements)), 1e3 * stop[0]});
    report.row({"checkpoint: training stands still", 1e3 * stop[1]});
    report.row({"checkpoint: writing, beside training",
                1e3 * store.write_seconds() / static_cast<double>(store.saves())});
    report.row({"checkpoint: steps are slowed by, in all", 1e3 * median(lost)});
    report.row({"step without one", 1e3 * step});
    report.figure("restart.stall_against_copy", stop[1] / stop[0], "x a copy of the state in memory");
}

void run(const RestartOptions& o) {
    Report report("restart", {"what", "ms"});
    const io::TemporaryFolder folder("divs-bench", o.folder);
    measure_start(folder.path(), o, report);
    measure_stall(folder.path(), o, report);
    report.note(fmt::format("{}, {}x{}, batch {}, {}", o.model, o.size, o.size, o.batch,
                            o.ranks > 0 ? fmt::format("{} ranks under mpirun", o.ranks) : "one process"));
    report.finish(o.json);
}

}  // namespace

void add_restart(CLI::App& bench) {
    CLI::App& restart = *bench.add_subcommand(
        "restart", "Going on from a checkpoint, and how long saving one stops training");
    auto options = std::make_shared<RestartOptions>();
    restart.add_option("--model", options->model, "Model of the zoo");
    restart.add_option("--size", options->size, "Height and width of its input")->check(CLI::Range(8, 4096));
    restart.add_option("--batch", options->batch, "Samples a step, over all ranks")
        ->check(CLI::Range(1, 4096));
    restart.add_option("--threads", options->threads, "Compute threads of a rank; 0: its share of the cores")
        ->check(CLI::Range(0, 1024));
    restart.add_option("--ranks", options->ranks, "Started by mpirun on so many ranks; 0: without mpirun")
        ->check(CLI::Range(0, 1024));
    restart.add_option("--rounds", options->rounds, "Measured rounds; their median counts")
        ->check(CLI::Range(1, 1000));
    restart
        .add_option("--folder", options->folder,
                    "Where job and checkpoints are written; else the system's temporary folder")
        ->check(CLI::ExistingDirectory);
    restart.add_option("--json", options->json, "JSON file (-: JSON instead of the table)");
    restart.callback([options] { run(*options); });
}

}  // namespace divs::bench
