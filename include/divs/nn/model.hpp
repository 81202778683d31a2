// A model: a graph of operations with names, its parameters in flat arenas, and its execution on a backend.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "divs/nn/backend.hpp"

namespace divs::nn {

inline constexpr int model_input = -1;

struct Node {
    std::string name;         // prefix of its parameters: "layer1.0.conv1"
    Op op;
    std::vector<int> inputs;  // nodes before this one, or model_input
};

// Everything that describes a model but its weights. The last node gives the logits.
struct ModelSpec {
    std::string architecture;  // "resnet18", ..., or "custom"
    int frames = 1, height = 0, width = 0, channels = 3;
    int classes = 0;
    std::array<float, 3> mean{0.485F, 0.456F, 0.406F}, deviation{0.229F, 0.224F, 0.225F};
    std::vector<Node> nodes;
};

struct ModelSize {
    int classes = 0, frames = 1, height = 0, width = 0;
};

// tiny, alexnet, resnet18, resnet50, mobilenet_v2 (torchvision's names and shapes), tsm_resnet18, tsm_resnet50.
// An image model with frames > 1 averages the logits of its frames. ConfigError suggests the nearest name.
ModelSpec zoo_model(std::string_view name, const ModelSize& size);
std::vector<std::string> zoo_names();

// The text form, one operation a line (see datasets/README.md's neighbour, docs in README "Your own model").
ModelSpec parse_model(std::string_view text, const ModelSize& size, std::string_view origin = "model");
// The JSON form that exports and checkpoints carry; from_json(to_json(spec)) == spec.
std::string to_json(const ModelSpec& spec);
ModelSpec from_json(std::string_view json);

// Where one parameter or buffer lies in its arena.
struct ParameterView {
    std::string name;        // "layer1.0.conv1.weight"
    std::vector<int> dims;   // OIHW
    std::size_t offset = 0;  // elements; layer order, each parameter aligned to 16 elements
    std::size_t size = 0;
    bool decays = false;
    bool frozen = false;
};

// Elements [begin, end) of the gradient arena that are final.
struct GradientRange {
    std::size_t begin = 0, end = 0;
};

struct Batch {
    std::span<const std::uint8_t> pixels;     // (clips, frames, H, W, 3)
    std::span<const std::int32_t> labels;     // clips
    std::span<const std::uint64_t> samples;   // clips
    std::uint64_t seed = 0, epoch = 0;
    int clips() const noexcept { return static_cast<int>(samples.size()); }
};

struct LossSettings {
    float smoothing = 0;
    std::vector<float> class_weights;
};

class Model {
  public:
    Model(ModelSpec spec, std::shared_ptr<Backend> backend, Reducer* norm_reducer = nullptr);
    ~Model();

    const ModelSpec& spec() const noexcept;
    Backend& backend() noexcept;

    // He initialisation for convolutions (fan out), torch's defaults for linear layers, ones and zeros for norms:
    // a function of the seed and the parameter's name alone.
    void initialise(std::uint64_t seed);

    std::span<float> parameters() noexcept;  // one flat arena, in layer order
    std::span<float> gradients() noexcept;   // the same layout
    std::span<float> buffers() noexcept;     // running statistics
    const std::vector<ParameterView>& parameter_views() const noexcept;
    const std::vector<ParameterView>& buffer_views() const noexcept;
    void freeze(const std::vector<std::string>& prefixes);  // ConfigError where a prefix names nothing
    std::vector<UpdateRange> update_ranges() const;

    // Called during backward, from the last layer to the first, each time a range of the gradient arena is final.
    using GradientReady = std::function<void(GradientRange)>;

    // Forward, loss and backward of one batch in training mode. Gradients are of the *sum* of the losses. With an
    // empty batch: the gradients are zeroed, the norms' reductions are joined, and every range is announced in the
    // same order.
    LossSum train_step(const Batch& batch, const LossSettings& loss, const GradientReady& ready);

    // Logits (clips, classes) in evaluation mode, on the host. Labels are not needed.
    void predict(const Batch& batch, std::span<float> logits);

    // The name of the first node whose last output holds a value that is not finite; empty if all are finite.
    std::string first_not_finite();

    double multiply_adds(int clips) const;    // forward pass
    std::size_t activation_bytes() const;     // held now, all cached plans together

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace divs::nn
