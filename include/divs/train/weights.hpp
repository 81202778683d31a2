// Weights for others: one HDF5 file with a dataset for each parameter and buffer under "weights/", float32,
// convolutions as (O, I, H, W), with torchvision's names where the architecture is torchvision's. Attributes
// of the file: format, model (JSON), architecture, classes, height, width, mean, deviation, clip_frames,
// clip_stride, divs_version, revision.
//
//   state = {name: torch.from_numpy(data[()]) for name, data in h5py.File("out.h5")["weights"].items()}
//   torchvision.models.resnet18(num_classes=6).load_state_dict(state)
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "divs/nn/model.hpp"
#include "divs/train/checkpoint.hpp"

namespace divs::train {

inline constexpr std::int64_t weights_format = 1;

// What `divs eval --weights` needs, and nothing else is needed.
struct Weights {
    std::string model_json;  // nn::from_json gives the model
    std::vector<std::string> classes;
    int clip_stride = 1;
    std::int64_t step = 0;         // updates behind these weights
    std::string revision, config;  // of the training; may be empty
    std::vector<Array> arrays;     // by torchvision's names, without "parameters/" and "buffers/"
    std::filesystem::path file;
    const Array* find(std::string_view name) const noexcept;
};

// Input and logits that the exporting program computed, so that others can check what they load.
struct Probe {
    int clips = 0, frames = 1, height = 0, width = 0, classes = 0;
    std::vector<std::uint8_t> input;  // (clips x frames, H, W, 3), RGB
    std::vector<float> logits;        // (clips, classes)
};

Weights weights_of(const Checkpoint& checkpoint);
Weights weights_of(nn::Model& model, std::vector<std::string> classes, int clip_stride);

// StorageError. Each running_mean gets the num_batches_tracked (int64) that torch expects beside it.
void write_weights(const std::filesystem::path& file, const Weights& weights, const Probe* probe = nullptr);
// InputError naming file and dataset: damaged, not ours, newer format, not finite, shapes that are not the
// model's.
Weights read_weights(const std::filesystem::path& file);
// From either kind of file, or a folder of checkpoints (the best, or the newest).
Weights read_any_weights(const std::filesystem::path& path, bool newest = false);
std::vector<Weights> read_any_weights(const std::vector<std::filesystem::path>& paths);

// A model with these weights on this backend.
std::unique_ptr<nn::Model> make_model(const Weights& weights, std::shared_ptr<nn::Backend> backend);
// The same model for prediction only, its norms folded (nn/inference.hpp).
std::unique_ptr<nn::Model> make_predictor(const Weights& weights, std::shared_ptr<nn::Backend> backend);

// Random pixels, a function of the seed, through the model.
Probe make_probe(nn::Model& model, int clips, std::uint64_t seed);

struct InitSettings {
    bool new_head = true;  // the last layer may have another number of classes and then starts afresh
    std::vector<std::string> frozen;  // prefixes of parameters that are not trained
};
struct InitReport {
    std::size_t loaded = 0;           // arrays taken over
    std::vector<std::string> fresh;   // names that keep their initial values (the new head)
    std::vector<std::string> unused;  // names in the file that the model has not
};
// Copies by name into an initialised model. ConfigError naming file and array: missing in the file, of
// another shape anywhere but in the head, or a frozen prefix that names nothing or would freeze what was not
// loaded.
InitReport init_from(nn::Model& model, const Weights& weights, const InitSettings& settings);

}  // namespace divs::train
