// divs eval CONFIG.toml [--weights FILE]... [--split val]
#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "divs/comm/job.hpp"
#include "divs/comm/program.hpp"
#include "divs/core/config.hpp"
#include "divs/core/error.hpp"
#include "divs/core/log.hpp"
#include "divs/train/evaluate.hpp"
#include "divs/train/job.hpp"
#include "divs/train/reader.hpp"
#include "divs/train/versions.hpp"
#include "divs/train/weights.hpp"
#include "repeatable.hpp"

namespace divs::cli {
namespace {

struct EvalArguments {
    std::string config, split = "val", json;
    std::vector<std::filesystem::path> weights;
    int batch = 32;
};

// The clips that the weights were trained with override the file's: a model is evaluated as it was trained.
void follow_weights(video::ClipOptions& clip, const train::Weights& weights) {
    clip.frames = nn::from_json(weights.model_json).frames;
    clip.stride = weights.clip_stride;
}

void require_classes(const train::Weights& weights, const video::Catalogue& catalogue) {
    if (weights.classes != catalogue.dataset.classes)
        throw_error<InputError>("{}: was trained on the classes {}, the data set has {}",
                                weights.file.string(), fmt::join(weights.classes, ", "),
                                fmt::join(catalogue.dataset.classes, ", "));
}

std::string names(const std::vector<train::Weights>& weights) {
    std::vector<std::string> files;
    for (const train::Weights& member : weights) files.push_back(member.file.string());
    return (files.size() > 1 ? "mean of " : "") + fmt::format("{}", fmt::join(files, ", "));
}

void evaluate(comm::World& world, train::Settings settings, const EvalArguments& arguments) {
    comm::require_same_program(world, train::library_versions());
    const std::vector<train::Weights> weights = train::read_any_weights(
        arguments.weights.empty() ? std::vector{settings.run.folder} : arguments.weights);
    follow_weights(settings.data.catalogue.clip, weights.front());
    const train::DataView data = train::open_data(world, settings.data, settings.scheduler.storage);
    require_classes(weights.front(), data.catalogue);
    train::Classifier classifier(
        weights,
        nn::make_backend(settings.model.backend, train::backend_options(world, settings.model, false)));

    train::EvaluateOptions options{arguments.batch, {}, data.holders};
    options.feed.threads = settings.data.decode_threads;
    options.feed.queue_bytes = settings.data.queue_bytes;
    options.feed.reader = train::reader_options(
        world, classifier.backend(), classifier.sizes(), data.catalogue, data.holders,
        {settings.data.decode_on, settings.data.decode_threads, settings.data.catalogue.limits, false, true});
    const auto split = arguments.split == "train"  ? video::Split::train
                       : arguments.split == "test" ? video::Split::test
                                                   : video::Split::val;
    const auto samples = data.catalogue.samples_of(split);
    if (samples.empty())
        throw_error<InputError>("{}: no sample in the split \"{}\"", settings.data.dataset.string(),
                                arguments.split);
    const auto result = train::evaluate(classifier, world, data.catalogue, samples, options);
    for (const auto& [sample, reason] : result.skipped)
        log::warn("{}: sample {} is left out: {}", data.catalogue.file_of(sample), sample, reason);
    if (world.rank() != 0) return;
    if (result.predictions.empty())
        throw_error<InputError>("{}: no sample of the split \"{}\" could be read",
                                settings.data.dataset.string(), arguments.split);

    const auto metrics = train::measure(result.predictions, data.catalogue.dataset.classes);
    std::cout << names(weights) << " on " << arguments.split << " of " << data.catalogue.dataset.name << '\n'
              << train::to_text(metrics);
    if (arguments.json.empty()) return;
    std::ofstream out(arguments.json);
    out << train::to_json(metrics).dump(2) << '\n';
    if (!out.flush()) throw_error<StorageError>("{}: cannot be written", arguments.json);
}

void run_eval(const Common& common, const EvalArguments& arguments) {
    Config config(arguments.config, common.overrides);
    const train::Settings settings = train::read_settings(config);
    config.finish();
    comm::run_job(settings.world, [&](comm::World& world) {
        log::configure(common.log_level, world.rank(), world.size());
        evaluate(world, settings, arguments);
        return 0;
    });
}

}  // namespace

void add_eval(CLI::App& app, Common& common) {
    CLI::App& command =
        *app.add_subcommand("eval", "Accuracy, precision, recall, F1, AUC and confusion on a split");
    auto arguments = std::make_shared<EvalArguments>();
    command.add_option("config", arguments->config, "TOML file of the training; says where the data are")
        ->required();
    repeatable(command.add_option("--weights", arguments->weights,
                                  "exported file, checkpoint, or folder of checkpoints; else the best of "
                                  "train.folder; several times: the mean of what they predict"));
    command.add_option("--split", arguments->split, "train, val or test")
        ->check(CLI::IsMember({"train", "val", "test"}));
    command.add_option("--batch", arguments->batch, "clips that a rank predicts at once")
        ->check(CLI::PositiveNumber);
    command.add_option("--json", arguments->json, "write the figures there as well");
    command.callback([&common, arguments] { run_eval(common, *arguments); });
}

}  // namespace divs::cli
