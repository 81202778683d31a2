// divs analyze [CONFIG.toml] --weights FILE... --input PATH
#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <optional>

#include "commands.hpp"
#include "divs/analyze/analysis.hpp"
#include "divs/comm/job.hpp"
#include "divs/comm/program.hpp"
#include "divs/core/clock.hpp"
#include "divs/core/config.hpp"
#include "divs/core/error.hpp"
#include "divs/core/log.hpp"
#include "divs/io/atomic_file.hpp"
#include "divs/io/table.hpp"
#include "divs/train/job.hpp"
#include "divs/train/reader.hpp"
#include "divs/train/versions.hpp"
#include "divs/train/weights.hpp"
#include "divs/video/indexing.hpp"
#include "repeatable.hpp"

namespace divs::cli {
namespace {

struct AnalyzeArguments {
    std::string config, input, out = "analysis";
    std::vector<std::filesystem::path> weights;
    std::optional<double> every;
    std::vector<std::string> throttles;
};

// The keys that analysis shares with training keep their names and places.
struct AnalyzeSettings {
    train::ModelSettings model;
    analyze::AnalysisOptions analysis;
    video::OpenLimits limits;
    video::DecodeOn decode_on = video::DecodeOn::automatic;
    video::ShardOptions shard;
    double every = 1;  // seconds from a window's start to the next
};

AnalyzeSettings read_settings(Config& config, AnalyzeArguments& arguments) {
    AnalyzeSettings settings;
    const Section analyze = config.section("analyze");
    // What the command line says comes before the file.
    if (const auto path = analyze.path("input", ""); arguments.input.empty()) arguments.input = path.string();
    if (auto paths = analyze.paths("weights"); arguments.weights.empty())
        arguments.weights = std::move(paths);
    settings.every = analyze.get("every", settings.every, 1e-3, 1e6);
    if (arguments.every) settings.every = *arguments.every;
    if (!(settings.every >= 1e-3 && settings.every <= 1e6))  // nor may it be no number
        throw_error<ConfigError>("--every {}: expected 0.001 to 1e6 seconds", settings.every);
    settings.analysis.batch = analyze.get("batch", settings.analysis.batch, 1, 4096);
    settings.analysis.rounds = analyze.get("rounds", settings.analysis.rounds, 1, 1000);
    settings.shard.target_seconds = analyze.get("shard_seconds", settings.shard.target_seconds, 0.1, 1e6);
    settings.decode_on = video::decode_on(analyze.choice("decode", "auto", video::decode_on_names));
    settings.analysis.feed.threads = analyze.get("decode_threads", 1, 1, 256);
    settings.analysis.feed.queue_bytes = static_cast<std::size_t>(analyze.get("queue_mib", 256, 1, 1 << 20))
                                         << 20;
    settings.model.backend = analyze.get("backend", settings.model.backend);
    settings.model.threads = analyze.get("threads", 0, 0, 1024);
    settings.model.precision = nn::precision_of(analyze.choice("precision", "float32", nn::precision_names));
    settings.model.conv = nn::conv_choice_of(analyze.choice("conv", "auto", nn::conv_choice_names));
    if (arguments.input.empty())
        throw_error<ConfigError>("what to analyse is missing: --input or analyze.input");
    if (arguments.weights.empty())
        throw_error<ConfigError>("the model is missing: --weights or analyze.weights");
    if (!std::filesystem::path(arguments.out).has_filename())
        throw_error<ConfigError>("--out {}: expected the beginning of a file's name", arguments.out);
    return settings;
}

void print_figures(const analyze::Analysis& analysis, double seconds) {
    io::Table table(
        {{"rank"}, {"windows"}, {"skipped"}, {"frames"}, {"frames/s"}, {"latency ms, median"}, {"worst"}});
    std::uint64_t frames = 0;
    for (std::size_t rank = 0; rank < analysis.ranks.size(); ++rank) {
        const analyze::RankFigures& figures = analysis.ranks[rank];
        frames += figures.frames;
        table.row({std::to_string(rank), std::to_string(figures.windows), std::to_string(figures.skipped),
                   std::to_string(figures.frames), fmt::format("{:.1f}", figures.frames_per_second()),
                   fmt::format("{:.1f}", 1e3 * figures.latency_median),
                   fmt::format("{:.1f}", 1e3 * figures.latency_worst)});
    }
    std::cout << table.text()
              << fmt::format("{} frames in {:.1f} s: {:.1f} frames/s\n", frames, seconds,
                             static_cast<double>(frames) / seconds);
}

void analyse(comm::World& world, const AnalyzeSettings& settings, const AnalyzeArguments& arguments) {
    comm::require_same_program(world, train::library_versions());
    const std::vector<train::Weights> weights = train::read_any_weights(arguments.weights);
    train::Classifier classifier(
        weights,
        nn::make_backend(settings.model.backend, train::backend_options(world, settings.model, true)));

    if (world.rank() == 0)
        for (const char* ending : {".jsonl", ".h5"}) io::require_writable(arguments.out + ending);
    auto [files, left_out] = analyze::collect_files(arguments.input);
    if (world.rank() == 0)
        for (const auto& [file, reason] : left_out) log::warn("{} is left out: {}", file, reason);
    video::IndexingOptions indexing;
    indexing.limits = settings.limits;
    indexing.saved = arguments.out + ".index";
    video::IndexingPeers peers;
    peers.rank = world.rank();
    peers.size = world.size();
    peers.all_gather = [&](std::span<const std::byte> mine) { return world.all_gather(mine, "indexes"); };
    auto indexes = video::index_dataset(files, indexing, peers).files;
    const video::Catalogue catalogue = analyze::plan_windows(
        std::move(files), std::move(indexes),
        {classifier.frames(), weights.front().clip_stride, settings.every, settings.shard});

    analyze::AnalysisOptions options = settings.analysis;
    options.feed.reader = train::reader_options(
        world, classifier.backend(), classifier.sizes(), catalogue, {},
        {settings.decode_on, settings.analysis.feed.threads, settings.limits, false, true});
    options.feed.activity = [&](const std::string& what) { world.describe_activity(what); };
    options.slowdown.assign(static_cast<std::size_t>(world.size()), 1);
    for (const std::string& text : arguments.throttles) {
        const train::Throttle throttle = train::parse_throttle(text);
        if (throttle.rank < world.size())
            options.slowdown[static_cast<std::size_t>(throttle.rank)] = throttle.factor;
    }
    Stopwatch watch;
    const analyze::Analysis analysis = analyze::analyze(classifier, world, catalogue, options);
    if (world.rank() != 0) return;

    for (const auto& [file, reason] : catalogue.quarantined()) log::warn("{} is left out: {}", file, reason);
    for (const auto& [window, reason] : analysis.skipped)
        log::warn("{}: a window is left out: {}", catalogue.file_of(window), reason);
    if (analysis.results.empty())
        throw_error<InputError>("{}: no window could be analysed; no results are written", arguments.input);
    analyze::write_json_lines(arguments.out + ".jsonl", catalogue, analysis, weights.front().classes);
    analyze::write_hdf5(arguments.out + ".h5", catalogue, analysis, weights, settings.every);
    print_figures(analysis, watch.seconds());
    std::cout << fmt::format("results: {0}.jsonl, {0}.h5\n", arguments.out);
}

void run_analyze(const Common& common, AnalyzeArguments arguments) {
    Config config = arguments.config.empty() ? Config::from_text("", "command line", common.overrides)
                                             : Config(arguments.config, common.overrides);
    const AnalyzeSettings settings = read_settings(config, arguments);
    const comm::WorldOptions world_options = train::read_world_options(config);
    config.finish();
    comm::run_job(world_options, [&](comm::World& world) {
        log::configure(common.log_level, world.rank(), world.size());
        analyse(world, settings, arguments);
        return 0;
    });
}

}  // namespace

void add_analyze(CLI::App& app, Common& common) {
    CLI::App& command = *app.add_subcommand("analyze", "Slide trained models over videos");
    auto arguments = std::make_shared<AnalyzeArguments>();
    command.add_option("config", arguments->config,
                       "TOML file; jobs/reference_analyze.toml has every key with its default");
    repeatable(command.add_option(
        "--weights", arguments->weights,
        "exported file, checkpoint, or folder of checkpoints; several times: the mean of what they predict"));
    command.add_option("--input", arguments->input, "a video, or a folder of videos");
    command.add_option("--every", arguments->every, "seconds from one window to the next (1)");
    command.add_option("--out", arguments->out,
                       "results go to OUT.jsonl and OUT.h5, the index of the videos to OUT.index");
    repeatable(command.add_option("--throttle", arguments->throttles,
                                  "RANK=FACTOR: slow a rank down, to try the sharing out"));
    command.callback([&common, arguments] { run_analyze(common, *arguments); });
}

}  // namespace divs::cli
