// divs synth: renders a labelled traffic data set.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>

#include "commands.hpp"
#include "divs/core/error.hpp"
#include "divs/core/log.hpp"
#include "divs/synth/make.hpp"

namespace divs::cli {
namespace {

struct Options {
    synth::SynthOptions synth;
    std::string out, size = "320x180", task = "level";
};

void read_size(const std::string& text, synth::SynthOptions& o) {
    int end = 0;
    if (std::sscanf(text.c_str(), "%dx%d%n", &o.width, &o.height, &end) != 2 ||
        end != static_cast<int>(text.size())) {
        throw_error<ConfigError>("--size {}: expected WIDTHxHEIGHT, such as 320x180", text);
    }
}

template <std::size_t N>
void print_table(const synth::Summary& made, const std::array<std::string_view, N>& labels) {
    fmt::print("{:>8}", "");
    for (const auto label : labels) fmt::print("{:>11}", label);
    fmt::print("\n");
    for (const auto& [split, rows] : made.rows) {
        fmt::print("{:>8}", split);
        for (const auto label : labels) {
            const auto found = rows.find(std::string(label));
            fmt::print("{:>11}", found == rows.end() ? 0 : found->second);
        }
        fmt::print("\n");
    }
}

void print_summary(const Options& o, const synth::Summary& made) {
    fmt::print("{}: {} videos from {} cameras, {} frames, {:.0f} s of video in {:.1f} s ({:.0f} frames/s)\n",
               o.out, made.videos, made.scenes, made.frames, made.seconds, made.wall_seconds,
               static_cast<double>(made.frames) / made.wall_seconds);
    const double megabytes = static_cast<double>(made.bytes) / 1e6;
    if (o.synth.task == synth::Task::level) {
        fmt::print("{} {}, {:.1f} MB, {} boxes, {} line crossings; intervals by congestion level:\n",
                   o.synth.codec, o.synth.container, megabytes, made.boxes, made.crossings);
        print_table(made, synth::level_names);
    } else {
        fmt::print("{} crops of {}x{}, {:.1f} MB, by class:\n", made.crops, o.synth.crop, o.synth.crop,
                   megabytes);
        print_table(made, synth::vehicle_class_names);
    }
}

void run(Options& o) {
    read_size(o.size, o.synth);
    o.synth.task = o.task == "vehicles" ? synth::Task::vehicles : synth::Task::level;
    const auto progress = [](int done, int all) {
        if (done * 10 / all != (done - 1) * 10 / all) log::info("rendered {} of {} videos", done, all);
    };
    const synth::Summary made = synth::make_dataset(o.synth, o.out, progress);
    print_summary(o, made);
    if (o.synth.task == synth::Task::vehicles && made.crops == 0)
        throw_error<ConfigError>(
            "no vehicle is as large as --crop {} asks for: expected larger pictures (--size) or smaller crops",
            o.synth.crop);
}

}  // namespace

void add_synth(CLI::App& app, Common&) {
    auto o = std::make_shared<Options>();
    auto& s = o->synth;
    CLI::App* command = app.add_subcommand("synth", "render a labelled traffic data set");
    command->add_option("out", o->out, "folder to make")->required();
    command
        ->add_option("--task", o->task,
                     "level: congestion of clips; vehicles: image crops of single vehicles")
        ->check(CLI::IsMember({"level", "vehicles"}));
    command->add_option("--videos", s.videos, "number of recordings");
    command->add_option("--seconds", s.seconds, "length of each");
    command->add_option("--size", o->size, "WIDTHxHEIGHT, pixels");
    command->add_option("--fps", s.fps, "frames per second");
    command->add_option("--seed", s.seed, "the same seed gives the same frames")
        ->check(CLI::NonNegativeNumber);
    command->add_option("--scenes", s.scenes, "cameras; 0: one for every two videos");
    command->add_option("--val-share", s.val_share, "share of the cameras for validation");
    command->add_option("--test-share", s.test_share, "share of the cameras for the test");
    command->add_option("--night-share", s.night_share, "share of the videos at night");
    command->add_option("--dusk-share", s.dusk_share, "share of the videos at dusk or dawn");
    command->add_option("--rain-share", s.rain_share, "share of the videos in rain");
    command->add_option("--interval", s.interval, "seconds that a congestion level is stated for");
    command->add_option("--codec", s.codec, "h264, hevc, mpeg4 or mjpeg");
    command->add_option("--container", s.container, "mp4 or mkv");
    command->add_option("--gop", s.gop, "frames from one key frame to the next");
    command->add_flag("--open-gop", s.open_gop, "key frames that earlier pictures refer across (h264, hevc)");
    command->add_option("--bframes", s.bframes, "B-frames in a row");
    command->add_option("--quality", s.quality, "0 best .. 51 worst");
    command->add_flag("--vfr", s.variable_rate, "variable frame rate");
    command->add_option("--crop", s.crop, "width and height of a crop, pixels (task vehicles)");
    command->add_option("--threads", s.threads, "videos rendered at once; 0: one for each core");
    command->add_flag("--preview", s.preview, "write a contact sheet, preview.png");
    command->add_flag("--force", s.force, "write into a folder that holds something else");
    command->callback([o] {
        require_one_process("synth");
        run(*o);
    });
}

}  // namespace divs::cli
