#include "output.hpp"

#include <fmt/format.h>

#include <fstream>

#include "divs/core/error.hpp"

namespace divs::synth {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view mark = "# Rendered by divs synth.";

bool made_by_us(const fs::path& out) {
    std::ifstream in(out / "dataset.toml");
    std::string line;
    return std::getline(in, line) && line == mark;
}

void write_text(const fs::path& file, const std::string& text) {
    std::ofstream out(file, std::ios::binary);
    out << text;
    out.flush();
    if (!out) throw_error<StorageError>("{}: cannot write", file.string());
}

}  // namespace

void prepare_folder(const fs::path& out, const SynthOptions& options) {
    std::error_code failed;
    if (fs::exists(out, failed) && !fs::is_directory(out, failed)) {
        throw_error<ConfigError>("{}: is a file, expected a folder to make", out.string());
    }
    const bool used = fs::exists(out, failed) && !fs::is_empty(out, failed);
    if (used && !options.force && !made_by_us(out)) {
        throw_error<ConfigError>(
            "{}: holds something that divs synth did not make; choose another folder, or give --force",
            out.string());
    }
    if (used) {
        for (const char* ours :
             {"videos", "truth", "crops", "labels.tsv", "dataset.toml", "preview.png", ".divs-index"}) {
            fs::remove_all(out / ours, failed);
        }
    }
    fs::create_directories(out, failed);
    if (failed) throw_error<StorageError>("{}: cannot make the folder: {}", out.string(), failed.message());
    write_descriptor(out, options);  // first, so that a run that was stopped can be repeated
    const auto make = [&](const fs::path& folder) {
        fs::create_directories(folder, failed);
        if (failed)
            throw_error<StorageError>("{}: cannot make the folder: {}", folder.string(), failed.message());
    };
    if (options.task == Task::level) {
        make(out / "videos");
        make(out / "truth");
    } else {
        for (const auto name : vehicle_class_names) make(out / "crops" / name);
    }
}

void write_descriptor(const fs::path& out, const SynthOptions& o) {
    std::vector<std::string> classes;
    if (o.task == Task::level) classes.assign(level_names.begin(), level_names.end());
    if (o.task == Task::vehicles) classes.assign(vehicle_class_names.begin(), vehicle_class_names.end());
    std::string text = fmt::format("{}\n# seed {}, {} videos of {} s, {}x{} at {} frames/s\n", mark, o.seed,
                                   o.videos, o.seconds, o.width, o.height, o.fps);
    text +=
        fmt::format("name = \"{}\"\nlabels = \"labels.tsv\"\nclasses = [\"{}\"]\n",
                    o.task == Task::level ? "synth-level" : "synth-vehicles", fmt::join(classes, "\", \""));
    write_text(out / "dataset.toml", text);
}

void write_table(const fs::path& out, const std::vector<TableRow>& rows) {
    std::string text = "path\tlabel\tsplit\tstart\tend\tgroup\n";
    for (const TableRow& row : rows) {
        const std::string times = row.end < 0 ? "\t" : fmt::format("{:.6g}\t{:.6g}", row.start, row.end);
        text += fmt::format("{}\t{}\t{}\t{}\t{}\n", row.path, row.label, row.split, times, row.group);
    }
    write_text(out / "labels.tsv", text);
}

}  // namespace divs::synth
