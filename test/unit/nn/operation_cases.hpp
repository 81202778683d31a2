// One operation with the shapes and numbers to try it on, and how to run it on a backend: shared by every
// test that compares operations with the oracle or with finite differences.
#pragma once

#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "divs/core/random.hpp"
#include "divs/nn/backend.hpp"

namespace divs::nn::test {

struct OperationCase {
    std::string name;
    Op op;
    std::vector<Shape> inputs;
};

// Inputs, parameters, running statistics and an output gradient, all NHWC or (O, I, H, W), fresh from a seed.
struct OperationData {
    std::vector<std::vector<float>> inputs, values, buffers;
    std::vector<float> output_gradient;
    std::vector<std::uint64_t> samples;
    StepContext step() const {
        StepContext context;
        context.seed = 5;
        context.epoch = 3;
        context.samples = samples;
        return context;
    }
};

inline std::vector<float> random_values(std::size_t n, std::uint64_t seed, std::uint64_t which,
                                        double mean = 0, double deviation = 1) {
    const Random random(seed, Stream::test, which);
    std::vector<float> values(n);
    for (std::size_t i = 0; i < n; ++i) values[i] = static_cast<float>(mean + deviation * random.normal(i));
    return values;
}

inline OperationData fresh_data(const OperationCase& c, std::uint64_t seed) {
    OperationData data;
    std::uint64_t which = 0;
    for (const Shape& s : c.inputs) data.inputs.push_back(random_values(s.size(), seed, which++, 0.3));
    for (const auto& p : parameter_shapes(c.op, c.inputs))
        data.values.push_back(random_values(p.size(), seed, which++, p.dims.size() == 1 ? 0.8 : 0.0, 0.3));
    for (const auto& b : buffer_shapes(c.op, c.inputs)) {
        data.buffers.push_back(random_values(b.size(), seed, which++));
        for (float& v : data.buffers.back()) v = std::abs(v) + 0.5F;
    }
    data.output_gradient = random_values(output_shape(c.op, c.inputs).size(), seed, which);
    for (int n = 0; n < c.inputs[0].n; ++n) data.samples.push_back(static_cast<std::uint64_t>(1000 + 7 * n));
    return data;
}

struct OperationResult {
    std::vector<float> output;
    std::vector<std::vector<float>> input_gradients, gradients, buffers;
};

inline float poison() {
    return std::numeric_limits<float>::quiet_NaN();
}

inline void poison_all(Backend& backend, Storage& storage) {
    const std::vector<float> poisoned(storage.bytes() / sizeof(float), poison());
    backend.write(poisoned.data(), {storage.data(), poisoned.size()});
}

// Arrays in the backend's memory, as a model's parameters lie there.
class Arrays {
  public:
    Arrays(Backend& backend, const std::vector<std::vector<float>>& values) : backend_(backend) {
        for (const auto& v : values) {
            storage_.push_back(backend.allocate(v.size() * sizeof(float)));
            spans_.emplace_back(storage_.back()->data(), v.size());
            backend.write(v.data(), spans_.back());
        }
    }
    const std::vector<std::span<float>>& spans() const { return spans_; }
    std::vector<std::vector<float>> read() const {
        std::vector<std::vector<float>> values;
        for (const auto& span : spans_) {
            values.emplace_back(span.size());
            backend_.read(span, values.back().data());
        }
        return values;
    }

  private:
    Backend& backend_;
    std::vector<std::shared_ptr<Storage>> storage_;
    std::vector<std::span<float>> spans_;
};

// A tensor of the backend, every byte of it poisoned, then filled with NHWC values where there are any.
inline Tensor make_tensor(Backend& backend, const TensorDesc& desc,
                          const std::vector<float>* values = nullptr) {
    Tensor tensor{desc, backend.allocate(backend.bytes(desc))};
    poison_all(backend, *tensor.storage);
    if (values) backend.upload(values->data(), tensor);
    return tensor;
}

inline std::vector<float> read(Backend& backend, const Tensor& tensor) {
    std::vector<float> values(tensor.shape().size(), poison());
    backend.download(tensor, values.data());
    return values;
}

struct RunOptions {
    PlanOptions plan;
    std::vector<TensorDesc> inputs;  // layouts; empty: plain NHWC
    bool backward = true;
    int repeats = 1;  // forward and backward this many times: a plan must not wear out
};

// Forward and backward of one case on a backend. Everything that the operation writes is poisoned before.
inline OperationResult run_operation(Backend& backend, const OperationCase& c, const OperationData& data,
                                     RunOptions options = {}) {
    if (options.inputs.empty())
        for (const Shape& s : c.inputs) options.inputs.push_back({s, nullptr});
    const auto operation = backend.plan(c.op, options.inputs, options.plan);
    OperationResult result;
    for (const auto& v : data.values) result.gradients.emplace_back(v.size(), poison());
    const Arrays values(backend, data.values), learned(backend, result.gradients),
        buffers(backend, data.buffers);
    const Parameters parameters{values.spans(), learned.spans(), buffers.spans()};
    const auto workspace = backend.allocate(operation->workspace_bytes());
    std::vector<Tensor> inputs, gradients;
    std::vector<const Tensor*> input_pointers;
    std::vector<Tensor*> gradient_pointers;
    for (std::size_t i = 0; i < options.inputs.size(); ++i) {
        inputs.push_back(make_tensor(backend, options.inputs[i], &data.inputs[i]));
        gradients.push_back(make_tensor(backend, options.inputs[i]));
    }
    for (std::size_t i = 0; i < inputs.size(); ++i) {
        input_pointers.push_back(&inputs[i]);
        const auto& wanted = options.plan.input_gradients;
        gradient_pointers.push_back(wanted.empty() || wanted[i] ? &gradients[i] : nullptr);
    }
    Tensor output = make_tensor(backend, operation->output());
    for (int i = 0; i < options.repeats; ++i) {
        poison_all(backend, *workspace);
        operation->forward(input_pointers, output, parameters, data.step(), workspace->data());
        if (i == 0) result.output = read(backend, output);
        if (!options.backward) continue;
        Tensor output_gradient = make_tensor(backend, operation->output(), &data.output_gradient);
        poison_all(backend, *workspace);
        operation->backward(input_pointers, output, output_gradient, gradient_pointers, parameters,
                            data.step(), workspace->data());
    }
    if (options.backward)
        for (std::size_t i = 0; i < gradients.size(); ++i)
            result.input_gradients.push_back(gradient_pointers[i] ? read(backend, gradients[i])
                                                                  : std::vector<float>{});
    result.gradients = learned.read();
    result.buffers = buffers.read();
    return result;
}

// || a - b || / || b ||; infinite where a value is not a number or a length is another.
inline double relative_error(const std::vector<float>& a, const std::vector<float>& b) {
    if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
    double difference = 0, size = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        const double d = static_cast<double>(a[i]) - static_cast<double>(b[i]);
        if (!std::isfinite(d)) return std::numeric_limits<double>::infinity();
        difference += d * d;
        size += static_cast<double>(b[i]) * static_cast<double>(b[i]);
    }
    return difference == 0 ? 0 : std::sqrt(difference / std::max(size, 1e-30));
}

inline Conv2d conv(int out, int kernel, int stride = 1, int pad = 0, int groups = 1, int dilation = 1,
                   bool bias = false) {
    Conv2d op;
    op.out_channels = out;
    op.kernel_h = op.kernel_w = kernel;
    op.stride_h = op.stride_w = stride;
    op.pad_h = op.pad_w = pad;
    op.groups = groups;
    op.dilation_h = op.dilation_w = dilation;
    op.bias = bias;
    return op;
}

inline Conv2d rectangle(int out, int kernel_h, int kernel_w, int stride_h, int stride_w, int pad_h,
                        int pad_w) {
    Conv2d op;
    op.out_channels = out;
    op.kernel_h = kernel_h;
    op.kernel_w = kernel_w;
    op.stride_h = stride_h;
    op.stride_w = stride_w;
    op.pad_h = pad_h;
    op.pad_w = pad_w;
    return op;
}

inline BatchNorm norm(bool residual, Activation activation) {
    BatchNorm op;
    op.residual = residual;
    op.activation = activation;
    return op;
}

inline Pool pool(PoolKind kind, int kernel, int stride, int pad) {
    return {kind, kernel, kernel, stride, stride, pad, pad};
}

// Every operation, with shapes that are awkward: odd sizes, batch 1, channels 3 and no multiples of 8 or 16.
std::vector<OperationCase> all_cases();
// Convolutions with what a folded model adds behind their sums: for plans that do not train.
std::vector<OperationCase> folded_cases();

}  // namespace divs::nn::test
