// divs index DATASET
#include <CLI/CLI.hpp>
#include <algorithm>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "divs/comm/job.hpp"
#include "divs/core/build_info.hpp"
#include "divs/core/config.hpp"
#include "divs/core/error.hpp"
#include "divs/core/log.hpp"
#include "divs/core/units.hpp"
#include "divs/io/table.hpp"
#include "divs/train/settings.hpp"
#include "divs/video/indexing.hpp"

namespace divs::cli {
namespace {

struct IndexArguments {
    std::string dataset, out, json;
    int threads = 0;
    bool again = false;
    video::CatalogueOptions catalogue;
};

// What the index of a data set holds, counted.
struct Summary {
    std::uint64_t packets = 0, frames = 0, damaged = 0, cuts = 0, bytes = 0;
    double seconds = 0;  // of video
    std::map<std::string, std::uint64_t> codecs;
    std::vector<std::array<std::uint64_t, 3>> samples;  // by class and split
};

Summary summarise(const video::Catalogue& catalogue) {
    Summary sum;
    for (const video::VideoIndex& file : catalogue.files) {
        if (!file.quarantine.empty()) continue;
        ++sum.codecs[file.codec];
        sum.bytes += file.file_bytes;
        sum.packets += file.packets.size();
        std::int64_t last = file.first_pts();
        for (const video::PacketInfo& packet : file.packets) {
            sum.damaged += packet.damaged;
            sum.cuts += packet.safe_cut;
            if (!packet.gives_frame()) continue;
            ++sum.frames;
            last = std::max(last, packet.pts + packet.duration);
        }
        if (!file.image) sum.seconds += file.seconds(last);
    }
    sum.samples.resize(catalogue.dataset.classes.size());
    for (const video::Sample& sample : catalogue.samples)
        ++sum.samples[static_cast<std::size_t>(sample.label)][static_cast<std::size_t>(sample.split)];
    return sum;
}

std::string codecs_text(const Summary& sum) {
    std::vector<std::string> parts;
    for (const auto& [codec, files] : sum.codecs) parts.push_back(fmt::format("{} {}", files, codec));
    return fmt::format("{}", fmt::join(parts, ", "));
}

void print_files(const video::Catalogue& catalogue, const video::Indexed& indexed, const Summary& sum) {
    const auto quarantined = catalogue.quarantined();
    io::Table table({{"data set", io::Align::left}, {catalogue.dataset.name, io::Align::left}});
    table.row({"files", fmt::format("{} ({})", catalogue.files.size(), codecs_text(sum))});
    table.row({"  of them quarantined", std::to_string(quarantined.size())});
    table.row({"  taken from the saved index", std::to_string(indexed.reused)});
    table.row({"size", bytes_text(static_cast<double>(sum.bytes))});
    if (sum.seconds > 0) table.row({"video", seconds_text(sum.seconds)});
    table.row({"packets", fmt::format("{} ({} damaged)", sum.packets, sum.damaged)});
    table.row({"frames", std::to_string(sum.frames)});
    table.row({"safe cuts", std::to_string(sum.cuts)});
    table.row({"shards", std::to_string(catalogue.shards.size())});
    table.row({"samples", fmt::format("{} of {} frames at stride {}", catalogue.samples.size(),
                                      catalogue.clip.frames, catalogue.clip.stride)});
    table.row({"labelled intervals without a frame", std::to_string(catalogue.empty_rows.size())});
    table.row({"index", indexed.saved_at.string() + (indexed.saved ? " (written)" : "")});
    table.row({"time", seconds_text(indexed.seconds)});
    std::cout << table.text() << '\n';
    for (const auto& [file, reason] : quarantined)
        std::cout << "quarantined: " << file << ": " << reason << '\n';
}

void print_samples(const video::Catalogue& catalogue, const Summary& sum) {
    io::Table table({{"samples of", io::Align::left}, {"train"}, {"val"}, {"test"}});
    std::array<std::uint64_t, 3> all{};
    for (std::size_t label = 0; label < sum.samples.size(); ++label) {
        const auto& counts = sum.samples[label];
        for (std::size_t split = 0; split < 3; ++split) all[split] += counts[split];
        table.row({catalogue.dataset.classes[label], std::to_string(counts[0]), std::to_string(counts[1]),
                   std::to_string(counts[2])});
    }
    table.rule();
    table.row({"all", std::to_string(all[0]), std::to_string(all[1]), std::to_string(all[2])});
    std::cout << table.text();
}

nlohmann::json to_json(const video::Catalogue& catalogue, const video::Indexed& indexed, const Summary& sum) {
    nlohmann::json out{{"name", catalogue.dataset.name},
                       {"root", catalogue.dataset.root.string()},
                       {"files", catalogue.files.size()},
                       {"reused", indexed.reused},
                       {"codecs", sum.codecs},
                       {"bytes", sum.bytes},
                       {"video_seconds", sum.seconds},
                       {"packets", sum.packets},
                       {"damaged_packets", sum.damaged},
                       {"frames", sum.frames},
                       {"safe_cuts", sum.cuts},
                       {"shards", catalogue.shards.size()},
                       {"empty_intervals", catalogue.empty_rows.size()},
                       {"index", indexed.saved_at.string()},
                       {"written", indexed.saved},
                       {"fingerprint", fmt::format("{:016x}", catalogue.fingerprint)},
                       {"seconds", indexed.seconds},
                       {"quarantined", nlohmann::json::array()},
                       {"samples", nlohmann::json::object()}};
    for (const auto& [file, reason] : catalogue.quarantined())
        out["quarantined"].push_back({{"file", file}, {"reason", reason}});
    for (std::size_t label = 0; label < sum.samples.size(); ++label)
        out["samples"][catalogue.dataset.classes[label]] = {{"train", sum.samples[label][0]},
                                                            {"val", sum.samples[label][1]},
                                                            {"test", sum.samples[label][2]}};
    return out;
}

void report(const video::Catalogue& catalogue, const video::Indexed& indexed, const std::string& json) {
    const Summary sum = summarise(catalogue);
    if (json == "-") {
        std::cout << to_json(catalogue, indexed, sum).dump(2) << '\n';
        return;
    }
    print_files(catalogue, indexed, sum);
    print_samples(catalogue, sum);
    if (json.empty()) return;
    std::ofstream out(json);
    out << to_json(catalogue, indexed, sum).dump(2) << '\n';
    if (!out.flush()) throw_error<StorageError>("{}: cannot be written", json);
}

void index(comm::World& world, const IndexArguments& arguments) {
    video::Dataset dataset = video::read_dataset(arguments.dataset);
    video::IndexingOptions options;
    options.threads =
        arguments.threads > 0 ? arguments.threads : std::max(1, usable_cores() / world.local_size());
    options.limits = arguments.catalogue.limits;
    options.saved = arguments.out;
    options.reuse = !arguments.again;
    const video::IndexingPeers peers{world.rank(), world.size(), [&](std::span<const std::byte> bytes) {
                                         return world.all_gather(bytes, "indexes");
                                     }};
    video::Indexed indexed = video::index_dataset(dataset, options, peers);
    if (world.rank() != 0) return;
    const video::Catalogue catalogue =
        video::make_catalogue(std::move(dataset), std::move(indexed.files), arguments.catalogue);
    report(catalogue, indexed, arguments.json);
}

void run_index(const Common& common, const IndexArguments& arguments) {
    Config config = Config::from_text("", "command line", common.overrides);
    const comm::WorldOptions world_options = train::read_world_options(config);
    config.finish();
    comm::run_job(world_options, [&](comm::World& world) {
        log::configure(common.log_level, world.rank(), world.size());
        index(world, arguments);
        return 0;
    });
}

}  // namespace

void add_index(CLI::App& app, Common& common) {
    CLI::App& command = *app.add_subcommand(
        "index", "Probe the files of a data set, find safe cuts, and save the index; parallel over ranks");
    auto arguments = std::make_shared<IndexArguments>();
    video::CatalogueOptions& catalogue = arguments->catalogue;
    command.add_option("dataset", arguments->dataset, "descriptor (TOML) or folder")->required();
    command.add_option("--clip-frames", catalogue.clip.frames, "frames of a clip")
        ->check(CLI::PositiveNumber);
    command.add_option("--clip-stride", catalogue.clip.stride, "frames of the video from one to the next")
        ->check(CLI::PositiveNumber);
    command.add_option("--clip-hop", catalogue.clip.hop, "frames from clip to clip; 0: no overlap")
        ->check(CLI::NonNegativeNumber);
    command
        .add_option("--shard-seconds", catalogue.shard.target_seconds,
                    "a shard closes at the first safe cut after")
        ->check(CLI::PositiveNumber);
    command.add_flag("--allow-preroll", catalogue.shard.allow_preroll,
                     "cut at recovery points where no safe cut comes for long");
    command.add_option("--threads", arguments->threads, "threads of a rank; 0: its share of the cores")
        ->check(CLI::NonNegativeNumber);
    command.add_option("--out", arguments->out,
                       "the saved index; else .divs-index in the data set, or the cache folder");
    command.add_flag("--again", arguments->again, "index all files, whatever the saved index has");
    command.add_option("--json", arguments->json,
                       "write the figures there as well; -: print them instead of the table");
    command.callback([&common, arguments] {
        require_one_process("index");
        run_index(common, *arguments);
    });
}

}  // namespace divs::cli
