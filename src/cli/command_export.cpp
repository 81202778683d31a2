// divs export CHECKPOINT OUT.h5: weights for others.   divs import IN.h5 FOLDER: weights to train on from.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "commands.hpp"
#include "divs/core/build_info.hpp"
#include "divs/core/error.hpp"
#include "divs/core/units.hpp"
#include "divs/io/atomic_file.hpp"
#include "divs/nn/backend.hpp"
#include "divs/train/checkpoint.hpp"
#include "divs/train/weights.hpp"

namespace divs::cli {
namespace {

namespace fs = std::filesystem;

struct ExportArguments {
    std::string checkpoint, out;
    bool newest = false;
    int probe = 0;
    int classes = 1000, size = 224, frames = 1;  // of a fresh model
};

struct ImportArguments {
    std::string file, folder;
};

std::size_t element_count(const train::Weights& weights) {
    std::size_t count = 0;
    for (const auto& array : weights.arrays) count += array.values.size();
    return count;
}

void print_weights(const train::Weights& weights, const fs::path& written) {
    const nn::ModelSpec spec = nn::from_json(weights.model_json);
    fmt::print(
        "{}\n  {} for {} classes, clips of {} x {} x {}, stride {}\n  {} arrays, {} numbers, {}, after {} "
        "steps\n",
        written.string(), spec.architecture, spec.classes, spec.frames, spec.height, spec.width,
        weights.clip_stride, weights.arrays.size(), element_count(weights),
        bytes_text(static_cast<double>(fs::file_size(written))), weights.step);
}

std::shared_ptr<nn::Backend> cpu() {
    return nn::make_backend("cpu", {usable_cores(), true});
}

// "fresh:resnet18": a template that others fill with weights of their own.
constexpr std::string_view fresh = "fresh:";

train::Weights fresh_weights(const ExportArguments& arguments) {
    const std::string name = arguments.checkpoint.substr(fresh.size());
    nn::Model model(
        nn::zoo_model(name, {arguments.classes, arguments.frames, arguments.size, arguments.size}), cpu());
    model.initialise(1);
    std::vector<std::string> classes;
    for (int c = 0; c < arguments.classes; ++c) classes.push_back(fmt::format("class {}", c));
    train::Weights weights = train::weights_of(model, std::move(classes), 1);
    weights.file = arguments.checkpoint;
    return weights;
}

void run_export(const ExportArguments& arguments) {
    const train::Weights weights = arguments.checkpoint.starts_with(fresh)
                                       ? fresh_weights(arguments)
                                       : train::read_any_weights(arguments.checkpoint, arguments.newest);
    // Builds the model as a reader would, so that a file that nobody can use is not written.
    const auto model = train::make_model(weights, cpu());
    if (arguments.probe > 0) {
        const train::Probe probe = train::make_probe(*model, arguments.probe, 1);
        train::write_weights(arguments.out, weights, &probe);
    } else {
        train::write_weights(arguments.out, weights);
    }
    fmt::print("from {}\n", weights.file.string());
    print_weights(weights, arguments.out);
}

void run_import(const ImportArguments& arguments) {
    const train::Weights weights = train::read_weights(arguments.file);
    const fs::path folder = arguments.folder;
    if (!train::list_checkpoints(folder).empty())
        throw_error<ConfigError>("{}: holds checkpoints already, expected a new folder", folder.string());
    const auto model = train::make_model(weights, cpu());
    train::CheckpointInfo info;
    info.model_json = weights.model_json;
    info.classes = weights.classes;
    info.clip_stride = weights.clip_stride;
    info.trainer_json = "{}";
    info.config = weights.config;
    io::make_folder(folder);
    const fs::path file = folder / train::checkpoint_name(0);
    train::write_checkpoint(file, info, train::checkpoint_arrays(*model, {}).arrays);
    print_weights(weights, file);
    fmt::print("divs train CONFIG.toml --set train.folder={} starts from it\n", folder.string());
}

}  // namespace

void add_export(CLI::App& app, Common&) {
    CLI::App& command = *app.add_subcommand("export", "Write the weights of a checkpoint as HDF5 for others");
    auto arguments = std::make_shared<ExportArguments>();
    command
        .add_option(
            "checkpoint", arguments->checkpoint,
            "a checkpoint, a run's folder (its best checkpoint), a weight file, or fresh:ARCHITECTURE: "
            "untrained weights, for others to fill")
        ->required();
    command.add_option("out", arguments->out, "HDF5 file to write")->required();
    command.add_flag("--newest", arguments->newest,
                     "of a folder take the newest checkpoint and not the best");
    command
        .add_option("--probe", arguments->probe,
                    "also store this many random clips and the logits that the model gives for them, so that "
                    "a reader "
                    "can check what it loaded")
        ->check(CLI::Range(0, 1024));
    command.add_option("--classes", arguments->classes, "of a fresh model")->check(CLI::Range(1, 1'000'000));
    command.add_option("--size", arguments->size, "height and width of a fresh model's input")
        ->check(CLI::Range(8, 4096));
    command.add_option("--frames", arguments->frames, "frames of a clip, of a fresh model")
        ->check(CLI::Range(1, 256));
    command.callback([arguments] {
        require_one_process("export");
        run_export(*arguments);
    });
}

void add_import(CLI::App& app, Common&) {
    CLI::App& command =
        *app.add_subcommand("import", "Make a run's folder from exported weights, to train on from");
    auto arguments = std::make_shared<ImportArguments>();
    command.add_option("file", arguments->file, "a file that divs export wrote")->required();
    command.add_option("folder", arguments->folder, "the new run's folder (train.folder)")->required();
    command.callback([arguments] {
        require_one_process("import");
        run_import(*arguments);
    });
}

}  // namespace divs::cli
