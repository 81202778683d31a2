// A model: a graph of operations with names, its parameters in flat arenas, and its execution on a backend.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "divs/nn/backend.hpp"

namespace divs::nn {

inline constexpr int model_input = -1;

struct Node {
    std::string name;  // prefix of its parameters: "layer1.0.conv1"; unique in its model
    Op op;
    std::vector<int> inputs;  // nodes before this one, or model_input
    friend bool operator==(const Node& a, const Node& b);
};

// Everything that describes a model but its weights. The last node gives the logits.
struct ModelSpec {
    std::string architecture;  // "resnet18", ..., or "custom"
    int frames = 1, height = 0, width = 0, channels = 3;
    int classes = 0;
    std::array<float, 3> mean{0.485F, 0.456F, 0.406F}, deviation{0.229F, 0.224F, 0.225F};
    std::vector<Node> nodes;
    friend bool operator==(const ModelSpec& a, const ModelSpec& b) = default;
};

struct ModelSize {
    int classes = 0, frames = 1, height = 0, width = 0;
};

// tiny, alexnet, resnet18, resnet50, mobilenet_v2 (torchvision's names and shapes), tsm_resnet18,
// tsm_resnet50. An image model with frames > 1 averages the logits of its frames. ConfigError suggests the
// nearest name.
ModelSpec zoo_model(std::string_view name, const ModelSize& size);
std::vector<std::string> zoo_names();

// The text form, one operation a line:
//
//   line = [ [ NAME "=" ] OPERATION { FLAG | KEY "=" VALUE } [ "from=" NAME { "," NAME } ] ]
//          [ "#" comment ]
//
//   conv           out=N kernel=N|HxW stride=N|HxW pad=N|HxW dilation=N|HxW groups=N bias
//   norm           relu|relu6 epsilon=X momentum=X
//                    batch norm; with two inputs (from=a,b) the second is added before the relu
//   relu, relu6
//   add            relu|relu6
//                    the sum of two inputs (from=a,b)
//   maxpool        kernel=N|HxW stride=N|HxW pad=N|HxW
//   avgpool        the same; the stride is the kernel where it is not given
//   adaptive_pool  out=N|HxW
//                    averages down to this size; without it to 1: the mean over the image
//   linear         out=N|classes bias=false
//                    of the flattened (C, H, W)
//   dropout        rate=X
//   shift          divisor=N
//                    temporal shift between the frames of a clip
//   lstm           out=N
//                    long short-term memory of N numbers along a clip; gives them for every frame
//   frame_mean     the mean over the frames of a clip
//
// A line reads the line before it (the first one reads the model's input) unless `from` names others; `input`
// is the model's input. A line without a name is called after its operation and its line: "conv7". Where a
// model for clips has no frame_mean, one is added at its end. Norms, additions and activations in a row are
// fused into one operation. ConfigError names `origin`, the line, the word and the nearest known word.
ModelSpec parse_model(std::string_view text, const ModelSize& size, std::string_view origin = "model");
// The text that parse_model reads back into the same nodes.
std::string to_text(const ModelSpec& spec);

// The JSON form that exports and checkpoints carry; from_json(to_json(spec)) == spec. InputError on anything
// that is not a valid model: the text may come from a foreign file.
std::string to_json(const ModelSpec& spec);
ModelSpec from_json(std::string_view json);

// Checks names, wiring, sizes and that the last node gives (clips, 1, 1, classes). ConfigError names the
// node.
void validate(const ModelSpec& spec);
// The output shape of every node for this many clips.
std::vector<Shape> node_shapes(const ModelSpec& spec, int clips);
// The shapes that one node reads.
std::vector<Shape> input_shapes(const ModelSpec& spec, const std::vector<Shape>& outputs, const Node& node,
                                int clips);
// Batch norm, addition and activation in a row become one BatchNorm where nobody else reads what lies
// between. The names of the parameters stay.
ModelSpec fuse(ModelSpec spec);

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
    std::span<const std::uint8_t> pixels{};    // (clips, frames, H, W, 3); empty where there are clip_pixels
    std::span<const std::int32_t> labels{};    // clips
    std::span<const std::uint64_t> samples{};  // clips
    std::uint64_t seed = 0, epoch = 0;
    std::span<Pixels* const> clip_pixels{};  // clips, each (frames, H, W, 3)
    int clips() const noexcept { return static_cast<int>(samples.size()); }
};

struct LossSettings {
    float smoothing = 0;
    std::vector<float> class_weights;
};

struct InitialiseOptions {
    bool zero_residual_norms =
        false;  // the norm that closes a residual branch starts as zero (He et al., 1812.01187)
};

// How training steps are recorded where the backend can: on the host nothing changes.
struct RecordOptions {
    int quantum = 1;                // only batches of a multiple of this many clips; 0: none
    std::vector<std::size_t> cuts;  // elements of the gradient arena, rising: where its buckets begin. Ranges
                                    // above a cut are announced before what lies below it is computed.
};

// Where the last train_step spent its time.
struct StepSeconds {
    double upload = 0, forward = 0, loss = 0, backward = 0;
};

// One operation's share of the time since profile(true).
struct NodeSeconds {
    std::string name;
    double forward = 0, backward = 0;  // sums over calls
    std::int64_t calls = 0;
    double multiply_adds = 0;  // forward, of one clip
};

class Model {
  public:
    Model(ModelSpec spec, std::shared_ptr<Backend> backend, Reducer* norm_reducer = nullptr);
    ~Model();
    Model(Model&&) noexcept;

    const ModelSpec& spec() const noexcept;
    Backend& backend() noexcept;

    // Convolutions: He, fan out, or fan in where they have a bias and so no norm behind them (He et al.,
    // 1502.01852). Linear layers and LSTMs: torch's default; linear layers of mobilenet_v2: torchvision's.
    // Norms: ones and zeros. Every number is a function of the seed, the parameter's name and the element.
    void initialise(std::uint64_t seed, const InitialiseOptions& options = {});

    std::span<float> parameters() noexcept;  // one flat arena, in layer order
    std::span<float> gradients() noexcept;   // the same layout; padding stays zero
    std::span<float> buffers() noexcept;     // running statistics
    // The gradients lie there from now on, zeroed: as many elements as gradients() has. Spans of them from
    // before end.
    void place_gradients(std::shared_ptr<Storage> storage);
    const std::vector<ParameterView>& parameter_views() const noexcept;
    const std::vector<ParameterView>& buffer_views() const noexcept;
    // Freezes the parameters whose names begin with one of the prefixes (whole parts: "layer1" is not
    // "layer10"); an empty list frees all. ConfigError where a prefix names nothing. Gradients of frozen
    // parameters are zero; norms keep counting their running statistics, as in torch.
    void freeze(const std::vector<std::string>& prefixes);
    std::vector<UpdateRange> update_ranges() const;

    // Called during backward, from the last layer to the first, each time a range of the gradient arena is
    // final. The ranges of a step are contiguous and descending and cover the whole arena, padding included,
    // exactly once.
    using GradientReady = std::function<void(GradientRange)>;

    void record_steps(const RecordOptions& options);

    // Forward, loss and backward of one batch in training mode, on a device only queued. Gradients are of the
    // *sum* of the losses. With an empty batch: the gradients are zeroed, the norms' reductions are joined,
    // and every range is announced in the same order. InputError names the sample whose label is out of
    // range.
    void queue_step(const Batch& batch, const LossSettings& loss, const GradientReady& ready);
    // Of the last step: nothing where its batch was empty. On a device this waits for its forward pass.
    LossSum loss();
    // Both.
    LossSum train_step(const Batch& batch, const LossSettings& loss, const GradientReady& ready);
    // On a device the outputs of a step are gone by the time that its loss is known: looks for what is not
    // finite in another forward pass, for first_not_finite(). Synchronised norms make it collective.
    void look_again(const Batch& batch);

    // Logits (clips, classes) in evaluation mode, on the host. Labels are not needed.
    void predict(const Batch& batch, std::span<float> logits);

    // After a call whose loss, logits or gradients were not finite: the first node whose output was not
    // finite, or else the last parameter (the first in backward order) whose gradient is not. Empty if all
    // are finite.
    std::string first_not_finite();

    double multiply_adds(int clips) const;  // forward pass
    std::size_t activation_bytes() const;   // held now; all cached plans share them

    const StepSeconds& last_step() const noexcept;
    void profile(bool on);  // starts the per-operation times again from zero
    std::vector<NodeSeconds> profile() const;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace divs::nn
