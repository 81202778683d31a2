// A backend plans operations for shapes and runs them. `reference` is the naive oracle, `cpu` runs on oneDNN
// and our own loops, `cuda` comes as a plugin. All agree with `reference` to a stated relative error.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "divs/core/device_stream.hpp"
#include "divs/core/pixels.hpp"
#include "divs/nn/operations.hpp"
#include "divs/nn/tensor.hpp"

namespace divs::nn {

// What must be summed over ranks inside a layer. Calls come in one order, fixed by the model, on every rank
// and every backend: a batch norm of C channels sums 1 + 2 C numbers forward (count, sums, sums of squares)
// and 2 C backward (sums of the gradient, and of its product with the normalised input).
struct Reducer {
    virtual ~Reducer() = default;
    virtual void sum(std::span<double> values) = 0;
    // Where it takes the values from. False: from the host's memory, and sum() blocks until the sum over
    // ranks is in place. True: from the backend's device, and sum() is queued: behind what computes so far,
    // and what is queued behind it finds the sum. Settled before the first step.
    virtual bool on_device() const noexcept { return false; }
};

struct PlanOptions {
    bool training = true;               // false: forward only; batch norm uses its running statistics
    std::vector<bool> input_gradients;  // which inputs need a gradient (empty: all)
    Reducer* reducer = nullptr;         // batch norm statistics over all ranks; none: this rank's own
    bool parameter_gradients = true;    // false: the parameters are frozen, their gradients are left alone
    // A convolution on a backend that folds shifts reads its input through this temporal shift, and gives the
    // gradient of what comes before it.
    std::optional<TemporalShift> shift;
};

// Error where a convolution that is folded for prediction is planned for training.
void require_trainable(const Conv2d& op, const PlanOptions& options);

// What an operation may need to know about the step, beside its tensors.
struct StepContext {
    std::uint64_t seed = 0, epoch = 0;
    std::span<const std::uint64_t> samples;  // sample of each clip in the batch
    int frames = 1;                          // frames a clip: row n belongs to samples[n / frames]
};

// Spans of backend memory, in the order of parameter_shapes() / buffer_shapes().
struct Parameters {
    std::vector<std::span<float>> values, gradients, buffers;  // gradients empty in inference
};

// One operation planned for its input shapes. It may keep what its backward needs from its last forward
// (batch statistics, argmax); the caller keeps inputs and outputs alive and unchanged between the two.
class Operation {
  public:
    virtual ~Operation() = default;
    virtual const TensorDesc& output() const noexcept = 0;
    // Scratch bytes that the caller lends in each call; operations of one model share one workspace.
    virtual std::size_t workspace_bytes() const noexcept { return 0; }

    virtual void forward(std::span<const Tensor* const> inputs, Tensor& output, const Parameters& parameters,
                         const StepContext& step, float* workspace) = 0;

    // Overwrites the parameter gradients, and the gradient of each input that is not null (same layout as the
    // input). `output_gradient` has the layout of output() and may be overwritten.
    virtual void backward(std::span<const Tensor* const> inputs, const Tensor& output,
                          Tensor& output_gradient, std::span<Tensor* const> input_gradients,
                          const Parameters& parameters, const StepContext& step, float* workspace) = 0;

    // What a rank without samples must still do so that the collectives of synchronised norms line up: the
    // same reductions, with zeros. Most operations have none.
    virtual void forward_empty(const Parameters&) {}
    virtual void backward_empty(const Parameters&) {}
};

// Sum over the batch, so that batches of any size add up.
struct LossSum {
    double loss = 0;            // sum over samples of class weight x cross-entropy
    double weight = 0;          // sum over samples of class weight (their number without weights)
    std::int64_t correct = 0;   // arg max equals label
    int first_not_finite = -1;  // row of the first sample whose loss is not finite
};

// The same numbers in a row, as they are added up over ranks where a device has them. The loss is 0 where it
// is not finite: one rank's must not hide what the others have.
struct DeviceSums {
    enum Place : std::size_t { loss, weight, correct, not_finite, more };  // `more`: where the host's begin
    static constexpr std::size_t most = 8;
};

// One slice of the parameter arena that shares its settings.
struct UpdateRange {
    std::size_t begin = 0, end = 0;  // elements
    bool decays = true;
    bool frozen = false;
};

enum class Optimizer { sgd, adamw };
struct UpdateSettings {
    Optimizer optimizer = Optimizer::sgd;
    float learning_rate = 0.1F;
    double weight = 1;  // of the losses that the gradient is summed over: it is divided by it
    // It is what stands in queue_sums() by the time of this pass, 0 where a loss there is not finite.
    bool weight_is_queued = false;
    double clip_norm = 0;  // the longest that the mean gradient may be; see gradient_scale(). 0: as it is
    float weight_decay =
        0;  // SGD: added to the gradient; AdamW: decoupled (Loshchilov, Hutter, arXiv 1711.05101)
    float momentum = 0.9F;  // SGD; torch's form: v = m v + g, p -= lr v (or lr (g + m v) with nesterov)
    bool nesterov = false;
    float beta1 = 0.9F, beta2 = 0.999F, epsilon = 1e-8F;  // AdamW
    std::int64_t step = 1;                                // from 1; AdamW's bias correction
};

// A stretch of queued device work that can be queued again as one piece.
struct Recorded {
    virtual ~Recorded() = default;
    virtual void run() = 0;
};

// Records what is queued on a device, without doing it. The work must always use the same memory, take
// nothing from the host (see Backend::stage) and wait for nothing.
struct Recorder {
    virtual ~Recorder() = default;
    virtual void begin() = 0;
    virtual std::unique_ptr<Recorded> end() = 0;
    virtual void abandon() noexcept = 0;  // instead of end(), where the work cannot be recorded
};

class Backend {
  public:
    virtual ~Backend() = default;
    virtual std::string_view name() const noexcept = 0;
    // What does its work, for people: libraries with their versions, the kind of processor or device.
    virtual std::string description() const { return std::string(name()); }

    // Spans and tensors of a backend lie in its own memory. Where that is not the host's, only the backend's
    // functions may touch it: the three below for plain arrays (arenas, optimiser state), upload and download
    // for tensors.
    virtual bool host_memory() const noexcept { return true; }
    virtual std::shared_ptr<Storage> allocate(std::size_t bytes) = 0;  // zeroed
    virtual void read(std::span<const float> from, float* to);         // waits until all of it is there
    virtual void write(const float* from, std::span<float> to);        // `from` is free again when it returns
    virtual void clear(std::span<float> values);
    // The caller has changed these parameters by other means than write() and update().
    virtual void touched(std::span<const float> /*parameters*/) {}

    virtual std::size_t bytes(const TensorDesc& desc) const = 0;  // in the desc's layout, padding included

    // Plans `op` for inputs of these shapes and layouts; the plan chooses the output's layout.
    virtual std::unique_ptr<Operation> plan(const Op& op, const std::vector<TensorDesc>& inputs,
                                            const PlanOptions& options) = 0;
    // Whether this convolution can read its input through a temporal shift (PlanOptions::shift).
    virtual bool folds(const TemporalShift&, const Conv2d&) const { return false; }
    // The layout in which a model's input is best written, given the operation that reads it first.
    virtual TensorDesc input_desc(const Shape& shape, const Op& first) = 0;

    // Model's edges. pixels: (N, H, W, 3) RGB 8 bit -> (value / 255 - mean) / deviation.
    virtual void upload_pixels(const std::uint8_t* pixels, const float mean[3], const float deviation[3],
                               Tensor& tensor) = 0;
    // The same of clips of one size that lie each by itself, in pixel_memory() or the host's; they are free
    // again when it returns.
    virtual void upload_clips(std::span<Pixels* const> clips, const float mean[3], const float deviation[3],
                              Tensor& tensor);
    // Where clips best wait for their step.
    virtual std::shared_ptr<PixelMemory> pixel_memory() { return host_pixels(); }
    virtual void upload(const float* nhwc, Tensor& tensor) = 0;
    virtual void download(const Tensor& tensor, float* nhwc) = 0;

    // target += source, both of one desc.
    virtual void accumulate(const Tensor& source, Tensor& target) = 0;

    // Softmax cross-entropy of (N, 1, 1, classes) logits; gradient (same desc, may be null) of the *sum* of
    // the losses. Label smoothing s: target = (1 - s) one-hot + s / classes; class weights scale as in torch
    // (may be empty).
    virtual void cross_entropy(const Tensor& logits, std::span<const std::int32_t> labels,
                               std::span<const float> class_weights, float smoothing, Tensor* gradient) = 0;
    // The sums of the last cross_entropy(); on a device this waits for it, so ask once all else is queued.
    virtual LossSum loss() = 0;
    LossSum softmax_cross_entropy(const Tensor& logits, std::span<const std::int32_t> labels,
                                  std::span<const float> class_weights, float smoothing, Tensor* gradient) {
        cross_entropy(logits, labels, class_weights, smoothing, gradient);
        return loss();
    }

    // Devices: brings the sums of the last cross_entropy() (none where there was no `batch`) and numbers of
    // the host's together as DeviceSums, on the device: for whoever adds them up over ranks, behind what is
    // queued. They keep their place from step to step.
    virtual std::span<double> queue_sums(bool batch, std::span<const double> more);

    // One pass over [parameters, gradients, state...] of equal length. state: momentum (SGD) or both moments
    // (AdamW). Where the norm of the whole gradient is not finite, or the weight is 0 (no sample anywhere),
    // nothing changes.
    virtual void update(const UpdateSettings& settings, std::span<const UpdateRange> ranges,
                        std::span<float> parameters, std::span<const float> gradients,
                        std::span<const std::span<float>> state) = 0;
    // Of the mean gradient in the last update(), before it was clipped; on a device this waits for that
    // update, so ask once the next step is queued. 0 before the first.
    virtual double gradient_norm() = 0;
    // Devices: what stood in queue_sums() at the last update(), and this rank's own first row whose loss is
    // not finite (-1: none). Waits like gradient_norm().
    struct Summed {
        std::span<const double> sums;
        int first_not_finite = -1;
    };
    virtual Summed summed();
    virtual void synchronise() {}  // waits for queued device work
    // Where arrays lie on a device: what communication works with, in order with what this backend computes.
    // It may outlive neither the backend nor its own marks.
    virtual std::shared_ptr<DeviceStream> communication_stream() { return nullptr; }

    // Null where steps cannot be recorded. Before a recorded step runs, stage() brings to the device what the
    // host knows of it.
    virtual Recorder* recorder() noexcept { return nullptr; }
    virtual void stage(const StepContext& /*step*/, std::span<const std::int32_t> /*labels*/,
                       std::span<const float> /*class_weights*/, int /*classes*/) {}
};

// Arithmetic of a backend on a device: float32; float32 whose convolutions round their factors to
// TensorFloat-32 (10 bits of fraction); or activations and the weights that compute reads in bfloat16, with
// float32 sums, statistics, master weights and optimiser state. The backends on the CPU compute in float32
// whatever is asked.
enum class Precision { float32, tf32, bfloat16 };
inline const std::vector<std::string> precision_names{"float32", "tf32", "bfloat16"};

// Whose convolutions a device runs: the faster of both for each layer, cuDNN's, or the project's own.
enum class ConvChoice { automatic, cudnn, divs };
inline const std::vector<std::string> conv_choice_names{"auto", "cudnn", "divs"};

// The value of an enum above by its name; ConfigError where there is none of that name.
Precision precision_of(std::string_view name);
ConvChoice conv_choice_of(std::string_view name);

struct BackendOptions {
    int threads = 1;  // compute threads of this rank
    bool deterministic = false;
    Precision precision = Precision::float32;
    ConvChoice conv = ConvChoice::automatic;
    int device = 0;            // number of this rank among those of its host; devices are dealt out in turn
    std::string cache_folder;  // where measured choices are kept between runs; empty: nowhere
};

// "auto" (the plugin "cuda" where it can be used here, else "cpu", with a warning that says why where there
// is a plugin), "cpu", "reference", or the name of a plugin ("cuda": libdivs_cuda.so in the folder that
// DIVS_PLUGINS names, beside the program or in its library folder; see plugin.hpp). Throws ConfigError when
// there is no such backend, Error with the loader's words when a plugin cannot be used here.
std::unique_ptr<Backend> make_backend(std::string_view name, const BackendOptions& options);

}  // namespace divs::nn
