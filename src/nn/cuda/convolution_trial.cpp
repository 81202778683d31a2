#include "convolution_trial.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "check.hpp"
#include "conv_check.hpp"
#include "convolution_shape.hpp"
#include "device.hpp"

namespace divs::nn::cuda {
namespace {

constexpr int samples = 256;
constexpr std::size_t most_element_bytes = 4;

std::size_t tensor_bytes(const Shape& s, Arithmetic arithmetic) {
    const auto pitch = static_cast<std::size_t>(kernels::round_up(s.c, kernels::channel_step));
    return s.size() / static_cast<std::size_t>(s.c) * pitch * (arithmetic == Arithmetic::bf16 ? 2 : 4);
}

template <class T>
void fill(void* to, const Shape& s, std::uint64_t seed, cudaStream_t stream) {
    kernels::fill_random(static_cast<T*>(to), s.size() / static_cast<std::size_t>(s.c), s.c,
                         kernels::round_up(s.c, kernels::channel_step), seed, stream);
}

}  // namespace

ConvTrial::ConvTrial(const Device& device, const ConvProblem& problem, Direction direction)
    : device_(device),
      problem_(problem),
      direction_(direction),
      in_bytes_(tensor_bytes(problem.in, problem.arithmetic)),
      out_bytes_(tensor_bytes(problem.out(), problem.arithmetic)),
      weight_bytes_(packed_weights_bytes(problem, WeightOrder::oihw)),
      workspace_(device, "convolutions that are being compared"),
      begin_(make_event(true)),
      end_(make_event(true)) {
    auto allocate = [&](std::size_t bytes) {
        return allocate_device(device, bytes, "convolutions that are being compared");
    };
    const std::size_t packed = std::max(packed_weights_bytes(problem, WeightOrder::krsc),
                                        packed_weights_bytes(problem, WeightOrder::crsk));
    const auto channels = static_cast<std::size_t>(problem.op.out_channels);
    in_ = allocate(in_bytes_);
    out_ = allocate(out_bytes_);
    residual_ = allocate(problem.op.residual ? out_bytes_ : 256);
    bias_ = allocate(channels * most_element_bytes);
    master_ = allocate(weight_bytes_);
    packed_ = allocate(std::max(packed, weight_bytes_));
    weight_gradient_ = allocate(weight_bytes_);
    samples_ = allocate(samples * sizeof(float2) + sizeof(unsigned));
    const cudaStream_t stream = device.stream();
    with_type(problem.arithmetic, [&](auto type) {
        using T = decltype(type);
        fill<T>(in_.get(), problem.in, 1, stream);
        fill<T>(out_.get(), problem.out(), 2, stream);
        if (problem.op.residual) fill<T>(residual_.get(), problem.out(), 3, stream);
    });
    const auto weights = static_cast<int>(weight_bytes_ / sizeof(float)), k = problem.op.out_channels;
    kernels::fill_random(static_cast<float*>(bias_.get()), 1, k, k, 4, stream);
    kernels::fill_random(static_cast<float*>(master_.get()), 1, weights, weights, 5, stream);
    DIVS_CUDA_LAUNCHED("random tensors");
}

void* ConvTrial::result() const {
    return direction_ == Direction::forward         ? out_.get()
           : direction_ == Direction::backward_data ? in_.get()
                                                    : weight_gradient_.get();
}
std::size_t ConvTrial::result_bytes() const {
    return direction_ == Direction::forward         ? out_bytes_
           : direction_ == Direction::backward_data ? in_bytes_
                                                    : weight_bytes_;
}

ConvArguments ConvTrial::prepare(const ConvAlgorithm& algorithm) {
    ConvArguments x;
    x.in = in_.get();
    x.out = out_.get();
    x.bias = static_cast<const float*>(bias_.get());
    x.residual = residual_.get();
    x.weight_gradient = static_cast<float*>(weight_gradient_.get());
    x.weights = packed_.get();
    x.workspace = workspace_.at_least(std::max<std::size_t>(algorithm.workspace_bytes(), 256));
    if (direction_ != Direction::backward_weights)
        pack_weights(problem_, algorithm.weight_order(), static_cast<const float*>(master_.get()),
                     packed_.get(), device_.stream());
    return x;
}

double ConvTrial::tolerance() const {
    return problem_.arithmetic == Arithmetic::bf16   ? 1e-2
           : problem_.arithmetic == Arithmetic::tf32 ? 2e-3
                                                     : 1e-4;
}

unsigned ConvTrial::not_finite() {
    auto* count = reinterpret_cast<unsigned*>(static_cast<char*>(samples_.get()) + samples * sizeof(float2));
    const cudaStream_t stream = device_.stream();
    DIVS_CUDA_CALL(cudaMemsetAsync, count, 0, sizeof(unsigned), stream);
    if (direction_ == Direction::backward_weights || problem_.arithmetic != Arithmetic::bf16)
        kernels::count_not_finite(static_cast<const float*>(result()), result_bytes() / 4, count, stream);
    else
        kernels::count_not_finite(static_cast<const kernels::bf16*>(result()), result_bytes() / 2, count,
                                  stream);
    unsigned found = 0;
    DIVS_CUDA_CALL(cudaMemcpyAsync, &found, count, sizeof found, cudaMemcpyDeviceToHost, stream);
    device_.synchronise();
    return found;
}

double ConvTrial::error(const ConvAlgorithm& algorithm) {
    const ConvArguments arguments = prepare(algorithm);
    const cudaStream_t stream = device_.stream();
    DIVS_CUDA_CALL(cudaMemsetAsync, arguments.workspace, 0xFF, algorithm.workspace_bytes(), stream);
    DIVS_CUDA_CALL(cudaMemsetAsync, result(), 0xFF, result_bytes(), stream);  // NaNs
    algorithm.run(arguments, stream);
    if (not_finite() > 0) return std::numeric_limits<double>::infinity();
    kernels::ConvSampleInput input;
    input.shape = kernel_shape(problem_);
    input.direction = static_cast<int>(direction_);
    input.master = static_cast<const float*>(master_.get());
    input.in = in_.get();
    input.out = out_.get();
    input.weight_gradient = static_cast<const float*>(weight_gradient_.get());
    if (direction_ == Direction::forward) {
        input.bias = problem_.op.bias ? static_cast<const float*>(bias_.get()) : nullptr;
        input.residual = problem_.op.residual ? residual_.get() : nullptr;
        input.activation = kernel_activation(problem_.op.activation);
    }
    auto* results = static_cast<float2*>(samples_.get());
    with_type(problem_.arithmetic,
              [&](auto type) { kernels::conv_sample<decltype(type)>(input, samples, 6, results, stream); });
    DIVS_CUDA_LAUNCHED("samples of a convolution");
    std::array<float2, samples> pairs;
    DIVS_CUDA_CALL(cudaMemcpyAsync, pairs.data(), results, sizeof pairs, cudaMemcpyDeviceToHost, stream);
    device_.synchronise();
    double difference = 0, size = 0;
    for (const float2& pair : pairs) {
        const double expected = static_cast<double>(pair.x), d = static_cast<double>(pair.y) - expected;
        difference += d * d;
        size += expected * expected;
    }
    return difference == 0 ? 0 : std::sqrt(difference / std::max(size, 1e-30));
}

bool ConvTrial::keeps_not_finite(const ConvAlgorithm& algorithm) {
    if (direction_ != Direction::forward || problem_.op.activation == Activation::none) return true;
    const ConvArguments arguments = prepare(algorithm);
    const std::size_t bytes = packed_weights_bytes(problem_, algorithm.weight_order());
    DIVS_CUDA_CALL(cudaMemsetAsync, packed_.get(), 0xFF, bytes, device_.stream());  // NaNs
    algorithm.run(arguments, device_.stream());
    return not_finite() > 0;
}

double ConvTrial::seconds(const ConvAlgorithm& algorithm) {
    const ConvArguments arguments = prepare(algorithm);
    const cudaStream_t stream = device_.stream();
    auto measure = [&](int runs) {
        DIVS_CUDA_CALL(cudaEventRecord, begin_.get(), stream);
        for (int i = 0; i < runs; ++i) algorithm.run(arguments, stream);
        DIVS_CUDA_CALL(cudaEventRecord, end_.get(), stream);
        DIVS_CUDA_CALL(cudaEventSynchronize, end_.get());
        float milliseconds = 0;
        DIVS_CUDA_CALL(cudaEventElapsedTime, &milliseconds, begin_.get(), end_.get());
        return 1e-3 * static_cast<double>(milliseconds) / runs;
    };
    const double once = measure(1);  // the first run, with all that is loaded then
    // Enough runs to outlast the clock's grain, few where one takes long.
    const int runs = std::clamp(static_cast<int>(2e-3 / std::max(once, 1e-7)), 1, 50);
    std::array<double, 5> times;
    for (double& t : times) t = measure(runs);
    std::nth_element(times.begin(), times.begin() + 2, times.end());
    return times[2];
}

}  // namespace divs::nn::cuda
