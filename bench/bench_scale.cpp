// `divs bench scale`: how a real training job scales over rank counts. Every run is started as a user starts
// one (mpirun, srun): one allocation that is split into communicators would hide the start, the binding and
// the transport.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <fstream>
#include <memory>

#include "bench.hpp"
#include "child.hpp"
#include "commands.hpp"
#include "divs/comm/library.hpp"
#include "divs/core/build_info.hpp"
#include "divs/core/config.hpp"
#include "divs/core/error.hpp"
#include "divs/core/log.hpp"
#include "divs/io/hdf5.hpp"
#include "divs/nn/backend.hpp"
#include "divs/synth/make.hpp"
#include "divs/train/settings.hpp"
#include "divs/train/stop_signal.hpp"
#include "divs/video/library.hpp"
#include "scale_keep.hpp"
#include "scale_run.hpp"

namespace divs::bench {
namespace {

struct ScaleOptions {
    std::string config, mode = "both", launcher, folder, json;
    std::string model = "resnet18", backend = "cpu";
    std::vector<int> ranks{1, 2};
    int threads = 1, batch = 0, rank_batch = 0, size = 112, videos = 64, epochs = 2, rounds = 1;
    double timeout = 3600;
    bool apart = false;
};

// A folder for the runs: the one that was named, to go on with, or one that is gone at the end.
class RunFolder {
  public:
    explicit RunFolder(const std::string& named) : path_(named), own_(named.empty()) {
        if (own_) {
            std::string name = (std::filesystem::temp_directory_path() / "divs-scale-XXXXXX").string();
            if (!mkdtemp(name.data())) throw_error<StorageError>("{}: no temporary folder", name);
            path_ = name;
        }
        std::error_code error;
        std::filesystem::create_directories(path_, error);
        if (error) throw_error<StorageError>("{}: cannot be made: {}", path_.string(), error.message());
        path_ = std::filesystem::canonical(path_);
    }
    ~RunFolder() {
        std::error_code ignored;
        if (own_) std::filesystem::remove_all(path_, ignored);
    }
    RunFolder(const RunFolder&) = delete;
    RunFolder& operator=(const RunFolder&) = delete;
    const std::filesystem::path& path() const noexcept { return path_; }

  private:
    std::filesystem::path path_;
    bool own_;
};

// Without a configuration: a rendered road and a model that is worth spreading.
std::string render(const ScaleOptions& o, const std::filesystem::path& folder) {
    const auto file = folder / "scale.toml";
    if (!std::filesystem::exists(folder / "data" / "labels.tsv")) {
        synth::SynthOptions synth;
        synth.videos = o.videos;
        synth.width = 160;
        synth.height = 120;
        synth.val_share = synth.test_share = 0;
        log::info("rendering {} videos", o.videos);
        synth::make_dataset(synth, folder / "data");
    }
    std::ofstream out(file);
    out << fmt::format(
        "# A rendered road, for timing.\n[data]\ndataset = \"data\"\nshard_seconds = 1.5\nmix = 64\n"
        "[clip]\nframes = 1\nhop = 4\n[model]\nname = \"{}\"\nheight = {}\nwidth = {}\nbackend = \"{}\"\n"
        "[optimizer]\nlearning_rate = 0.01\n",
        o.model, o.size, o.size, o.backend);
    if (!out.flush()) throw_error<StorageError>("{}: cannot be written", file.string());
    return file;
}

std::vector<ScaleRun> plan(const ScaleOptions& o) {
    std::vector<ScaleRun> runs;
    for (const char* mode : {"strong", "weak"}) {
        if (o.mode != "both" && o.mode != mode) continue;
        const bool strong = std::string_view(mode) == "strong";
        for (const int n : o.ranks) {
            // Weak scaling: a rank has the same work at every number of ranks, hence as many more epochs.
            const int times = strong ? 1 : n;
            runs.push_back({mode, n, strong ? o.batch : n * o.rank_batch, times, o.epochs * times});
            if (o.apart && !strong) runs.push_back({"apart", n, o.rank_batch, 1, o.epochs});
        }
    }
    return runs;
}

// Every run once a round, in turns and every other round backwards, so that a machine that gets slower does
// not favour the one that comes first. [run][round]
std::vector<std::vector<ScaleFigures>> measure(const ScaleLauncher& launcher,
                                               const std::vector<ScaleRun>& runs, int rounds,
                                               const ScaleKeeper& keeper) {
    std::vector<std::vector<ScaleFigures>> all(runs.size());
    for (int round = 0; round < rounds; ++round)
        for (std::size_t i = 0; i < runs.size(); ++i) {
            const std::size_t at = round % 2 ? runs.size() - 1 - i : i;
            all[at].push_back(keeper.measured(launcher, runs[at], round));
        }
    return all;
}

double rate_of(const std::vector<ScaleRun>& runs, const std::vector<ScaleFigures>& middle,
               const std::string& name) {
    for (std::size_t i = 0; i < runs.size(); ++i)
        if (runs[i].name() == name) return middle[i].samples_per_second;
    return 0;
}

constexpr double mebi = 1 << 20;

void fill(Report& report, const ScaleOptions& o, const std::vector<ScaleRun>& runs,
          const std::vector<std::vector<ScaleFigures>>& all) {
    std::vector<ScaleFigures> middle;
    for (const auto& rounds : all) middle.push_back(median_round(rounds));
    nlohmann::json kept = nlohmann::json::array();
    const int first = o.ranks.front();
    for (std::size_t i = 0; i < runs.size(); ++i) {
        const ScaleRun& run = runs[i];
        const ScaleFigures& f = middle[i];
        const double base = rate_of(runs, middle, fmt::format("{}-{}", run.mode, first));
        const double efficiency = f.samples_per_second / base * first / run.ranks;
        report.row({run.mode, run.ranks, run.batch, f.samples_per_second, efficiency, 1e3 * f.step_seconds,
                    100 * f.compute, 100 * f.optimise, 100 * f.exposed, 100 * f.least_exposed,
                    100 * f.waiting, 100 * f.imbalance, f.edge_bytes / mebi, f.cluster_bytes / mebi,
                    f.centre_bytes / mebi, f.memory_bytes / mebi});
        nlohmann::json rounds = nlohmann::json::array();
        for (const ScaleFigures& round : all[i]) rounds.push_back(to_json(round));
        kept.push_back({{"mode", run.mode},
                        {"ranks", run.ranks},
                        {"batch", run.batch},
                        {"median", to_json(f)},
                        {"rounds", rounds}});
        if (run.mode != "apart")
            report.figure(fmt::format("scale.{}.ranks{}", run.mode, run.ranks), efficiency);
    }
    report.keep("runs", kept);
    if (!o.apart) return;
    for (const int n : o.ranks) {
        std::vector<double> ratios;  // neighbours in time, round by round
        for (std::size_t i = 0; i + 1 < runs.size(); ++i)
            if (runs[i].mode == "weak" && runs[i].ranks == n)
                for (std::size_t round = 0; round < all[i].size(); ++round)
                    ratios.push_back(all[i][round].samples_per_second / all[i + 1][round].samples_per_second);
        if (!ratios.empty()) report.figure(fmt::format("scale.against_apart.ranks{}", n), median(ratios));
    }
}

void check(ScaleOptions& o) {
    std::ranges::sort(o.ranks);
    o.ranks.erase(std::unique(o.ranks.begin(), o.ranks.end()), o.ranks.end());
    const auto cores = static_cast<int>(own_cores().size());
    if (o.apart && o.mode == "strong")
        throw_error<ConfigError>("--apart with --mode strong: expected weak or both");
    if (o.apart && o.ranks.back() * o.threads > cores)
        throw_error<ConfigError>("--apart: {} jobs of {} threads need {} cores, this machine has {} for us",
                                 o.ranks.back(), o.threads, o.ranks.back() * o.threads, cores);
    if (!o.config.empty() && !std::filesystem::is_regular_file(o.config))
        throw_error<InputError>("{}: is not there, expected a configuration as for divs train", o.config);
}

void run(ScaleOptions o, const cli::Common& common) {
    cli::require_one_process("bench scale");
    check(o);
    const RunFolder folder(o.folder);
    train::listen_for_stop();
    ScaleLauncher launcher;
    launcher.program = std::filesystem::read_symlink("/proc/self/exe");
    launcher.config =
        o.config.empty() ? render(o, folder.path()) : std::filesystem::canonical(o.config).string();
    launcher.launcher = o.launcher;
    launcher.threads = o.threads;
    launcher.timeout_seconds = o.timeout;
    launcher.folder = folder.path();
    launcher.stopped = train::stop_asked;
    for (const std::string& text : common.overrides) {
        launcher.options.push_back("--set");
        launcher.options.push_back(text);
    }
    Config config(launcher.config, common.overrides);
    const train::Settings settings = train::read_settings(config);  // a typo ends it here
    config.finish();
    if (o.rank_batch == 0 && o.batch == 0 && o.config.empty()) o.rank_batch = 32;
    if (o.batch == 0) o.batch = o.config.empty() ? o.rank_batch * o.ranks.back() : settings.run.batch;
    if (o.rank_batch == 0) o.rank_batch = std::max(1, o.batch / o.ranks.back());

    Report report("scale", {"mode", "ranks", "batch", "samples/s", "efficiency", "step ms", "compute %",
                            "update %", "exposed %", "least %", "waiting %", "imbalance %", "edge MiB",
                            "cluster MiB", "centre MiB", "memory MiB"});
    const nlohmann::json described{{"configuration", config.to_toml()},
                                   {"launcher", o.launcher.empty() ? "mpirun" : o.launcher},
                                   {"threads", o.threads},
                                   {"revision", build_info().revision}};
    const ScaleKeeper keeper(folder.path() / "runs", described);
    const std::vector<ScaleRun> runs = plan(o);
    const auto all = measure(launcher, runs, o.rounds, keeper);
    fill(report, o, runs, all);
    report.keep("configuration", described["configuration"]);
    report.keep("launcher", described["launcher"]);
    report.keep("threads", o.threads);
    report.version("MPI", comm::mpi_library());
    report.version("HDF5", io::hdf5_version());
    report.version("FFmpeg", video::library_info().version);
    report.version("backend", nn::make_backend(settings.model.backend, {o.threads, false})->description());
    if (o.ranks.back() * o.threads > static_cast<int>(own_cores().size()) && o.launcher.empty())
        report.note("more threads than cores: the ranks share cores and are not bound");
    report.note(fmt::format(
        "efficiency: against {} rank{}; shares: of the ranks' time, means; least: of the rank that "
        "waits least; MiB sent in a step by all ranks; memory: peak of the largest rank; all of the median "
        "of {} round{}",
        o.ranks.front(), o.ranks.front() == 1 ? "" : "s", o.rounds, o.rounds == 1 ? "" : "s"));
    report.finish(o.json);
}

}  // namespace

void add_scale(CLI::App& bench, const cli::Common& common) {
    const auto options = std::make_shared<ScaleOptions>();
    ScaleOptions& o = *options;
    CLI::App& app = *bench.add_subcommand(
        "scale", "Strong and weak scaling of a training job over rank counts; starts the ranks itself");
    app.add_option("config", o.config, "as for divs train (default: --model on rendered traffic)");
    app.add_option("--ranks", o.ranks, "rank counts; efficiency is against the least")
        ->delimiter(',')
        ->check(CLI::Range(1, 1 << 20));
    app.add_option("--mode", o.mode, "strong: the global batch stays; weak: a rank's batch stays")
        ->check(CLI::IsMember({"strong", "weak", "both"}));
    app.add_option("--batch", o.batch, "global batch of strong scaling (0: the configuration's)")
        ->check(CLI::Range(0, 1 << 20));
    app.add_option("--rank-batch", o.rank_batch,
                   "a rank's batch in weak scaling (0: that over the most ranks)")
        ->check(CLI::Range(0, 1 << 20));
    app.add_option("--threads", o.threads, "compute threads of a rank")->check(CLI::Range(1, 1024));
    app.add_option("--epochs", o.epochs,
                   "epochs that count, behind one that does not (weak: times the ranks)")
        ->check(CLI::Range(1, 100000));
    app.add_option("--rounds", o.rounds, "every run so many times, in turns; the median counts")
        ->check(CLI::Range(1, 99));
    app.add_flag("--apart", o.apart,
                 "beside weak scaling as many independent jobs of one rank, bound to own cores");
    app.add_option(
        "--launcher", o.launcher,
        "what starts the ranks, with {ranks} and {threads} (default: mpirun -n {ranks}, bound to cores "
        "where they suffice); under Slurm \"srun --mpi=pmix -n {ranks} -c {threads} --cpu-bind=cores\"");
    app.add_option("--folder", o.folder, "keep data and finished runs here, and go on from them");
    app.add_option("--timeout", o.timeout, "seconds that a run may take")->check(CLI::Range(1.0, 1e9));
    app.add_option("--model", o.model, "without a configuration: a model of the zoo");
    app.add_option("--size", o.size, "without a configuration: height and width in pixels")
        ->check(CLI::Range(8, 4096));
    app.add_option("--backend", o.backend, "without a configuration: cpu or cuda");
    app.add_option("--videos", o.videos, "without a configuration: rendered videos of 3 s, 9 samples each")
        ->check(CLI::Range(1, 1000000));
    app.add_option("--json", o.json, "JSON file (-: JSON instead of the table)");
    app.callback([options, &common] { run(*options, common); });
}

}  // namespace divs::bench
