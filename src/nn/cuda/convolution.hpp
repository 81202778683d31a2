// Convolutions of the cuda backend: what is to be computed, the algorithms that can, and the Tuner that picks
// the fastest of them on this GPU. The backend's operation asks a Tuner once for each direction when it is
// planned, and from then on runs what it got.
//
// Tensors are dense NHWC as tensor_view.hpp has them: pitch_of(channels) elements a pixel, the channels
// behind the last one zero. Master weights are OIHW float32. An algorithm that reads weights names the order
// in which it wants them; whoever owns the weights packs them with pack_weights() after each update, once for
// each order that is used, into memory of packed_weights_bytes(), and hands them in as `weights`. Gradients
// of weights come out as OIHW float32, overwritten.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "direction.hpp"
#include "divs/nn/backend.hpp"

namespace divs::nn::cuda {

class Device;

// What tensors hold and how products are made: f32 exactly; f32 tensors with products of TF32; bfloat16
// tensors. Sums are float32 in each.
enum class Arithmetic { f32, tf32, bf16 };

struct ConvProblem {
    Shape in;   // (N, H, W, C)
    Conv2d op;  // forward: + bias, + residual, activation
    Arithmetic arithmetic = Arithmetic::bf16;
    // A TemporalShift of the input folded into the convolution: clips of `shift.frames` images, the first
    // c / shift.divisor channels taken from the next frame, as many again from the one before. 0: none.
    TemporalShift shift{1, 0};

    Shape out() const { return conv_output_shape(op, in); }
    double multiply_adds() const;
};

// A line of text that two problems share only if one algorithm's time serves both.
std::string key_of(const ConvProblem& problem, Direction direction);

enum class WeightOrder {
    oihw,  // the master itself, float32
    krsc,  // (K, R, S, C / groups), in the tensors' type; without groups C is rounded up to its pitch
    crsk,  // (C, R, S, K / groups), likewise
};
std::size_t packed_weights_bytes(const ConvProblem& problem, WeightOrder order);
void pack_weights(const ConvProblem& problem, WeightOrder order, const float* oihw, void* packed,
                  cudaStream_t stream);

// Device addresses. forward: in, weights, bias, residual -> out. backward_data: out (a gradient), weights ->
// in. backward_weights: in, out (a gradient) -> weight_gradient.
struct ConvArguments {
    void* in = nullptr;
    void* out = nullptr;
    const void* weights = nullptr;   // in the order that the algorithm names
    const float* bias = nullptr;     // (K), float32
    const void* residual = nullptr;  // like out
    float* weight_gradient = nullptr;
    void* workspace = nullptr;  // workspace_bytes(), aligned to 256 bytes
};

// One way to compute one direction of one problem. run() only launches: it allocates nothing and never waits,
// so that it may be captured into a CUDA graph.
class ConvAlgorithm {
  public:
    virtual ~ConvAlgorithm() = default;
    virtual std::string name()
        const = 0;  // "divs wgmma 128x256", "cudnn engine 38 ...": unique for its problem
    virtual std::size_t workspace_bytes() const noexcept { return 0; }
    virtual WeightOrder weight_order() const noexcept { return WeightOrder::oihw; }
    virtual bool deterministic() const noexcept { return true; }  // the same bits every time
    virtual void run(const ConvArguments& arguments, cudaStream_t stream) const = 0;
};

struct CudnnHandle;

struct ConvOptions {
    ConvChoice choice = ConvChoice::automatic;
    bool deterministic = false;                            // leaves out algorithms that are not
    std::size_t workspace_limit = std::size_t{256} << 20;  // bytes; leaves out algorithms that want more
    std::shared_ptr<const CudnnHandle> cudnn;              // cuDNN's state; none: cuDNN is not asked
    std::string cache;                                     // file of earlier choices; empty: none
};

// All that can compute this direction here, ours first; never empty (the plain kernel of ours can do all).
std::vector<std::unique_ptr<ConvAlgorithm>> conv_candidates(const Device& device, const ConvProblem& problem,
                                                            Direction direction, const ConvOptions& options);

// Sums of a gradient over all pixels, for each channel: (pixels, pitch) -> (channels), float32. The workspace
// has bias_gradient_workspace() bytes. Repeats bit for bit.
std::size_t bias_gradient_workspace(int channels);
void bias_gradient(const void* gradient, std::size_t pixels, int channels, Arithmetic arithmetic, float* sums,
                   void* workspace, cudaStream_t stream);

// Measures candidates and remembers the winner, in memory and in a file that later runs read.
class Tuner {
  public:
    Tuner(const Device& device, ConvOptions options);
    ~Tuner();
    Tuner(const Tuner&) = delete;

    // The fastest candidate that computes the convolution: each is first compared with the definition on
    // random data at sampled outputs, and one that differs is left out with a warning.
    std::shared_ptr<const ConvAlgorithm> choose(const ConvProblem& problem, Direction direction);

  private:
    class Implementation;
    std::unique_ptr<Implementation> implementation_;
};

}  // namespace divs::nn::cuda
