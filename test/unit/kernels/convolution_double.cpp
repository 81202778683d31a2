// Convolutions and linear layers of the cuda backend, made by the oracle on the double of the device: what is
// tested here is everything around them. They read the copies of the weights that the backend keeps, as the
// real ones do.
#include <cuda_runtime_api.h>

#include "cuda/operation.hpp"
#include "device_cases.hpp"
#include "kernels/edges.hpp"
#include "kernels/host/device_double.hpp"
#include "kernels/vector.hpp"

namespace divs::nn::cuda {
namespace {

template <class T>
class OracleOperation final : public Operation {
  public:
    OracleOperation(const Op& op, const Descs& inputs, const PlanOptions& options, Context& context)
        : oracle_(nn::make_backend("reference", {})), options_(options), context_(context) {
        const TensorDesc& input = inputs[0];
        std::vector<TensorDesc> plain;
        std::vector<Shape> all;
        for (const TensorDesc& desc : inputs) {
            plain.push_back({desc.shape, nullptr});
            all.push_back(desc.shape);
        }
        if (options.shift) shift_ = oracle_->plan(Op{*options.shift}, {plain[0]}, PlanOptions{});
        operation_ = oracle_->plan(op, plain, options);
        output_ = make_desc(operation_->output().shape, view_of(input).type);
        const auto shapes = parameter_shapes(op, all);
        const auto* conv = std::get_if<Conv2d>(&op);
        const int taps = conv ? conv->kernel_h * conv->kernel_w : input.shape.h * input.shape.w;
        const int in = conv ? input.shape.c / conv->groups : input.shape.c;
        form_ = filter_form(shapes[0].dims[0], in, taps, pitch_of(in));
        in_ = plain_tensor(input.shape);
        shifted_ = plain_tensor(input.shape);
        in_gradient_ = plain_tensor(input.shape);
        out_ = plain_tensor(operation_->output().shape);
        if (inputs.size() > 1) residual_ = plain_tensor(inputs[1].shape);
    }

    const TensorDesc& output() const noexcept override { return output_; }

    void forward(std::span<const Tensor* const> inputs, Tensor& output, const Parameters& parameters,
                 const StepContext&, float*) override {
        const void* copy = context_.weights.copy(parameters.values[0], form_);
        run([=, this, input = *inputs[0], added = inputs.size() > 1 ? *inputs[1] : Tensor{}, out = output,
             p = parameters]() mutable {
            narrow(input, in_);
            if (added.storage) narrow(added, residual_);
            const Tensor* sources[] = {shifted(p), &residual_};
            const auto values = weights_of(copy, p);
            p.values[0] = std::span(const_cast<float*>(values.data()), values.size());
            operation_->forward(std::span(sources, added.storage ? 2 : 1), out_, p, {}, nullptr);
            widen(out_, out);
        });
    }

    void backward(std::span<const Tensor* const> inputs, const Tensor&, Tensor& output_gradient,
                  std::span<Tensor* const> input_gradients, const Parameters& parameters, const StepContext&,
                  float*) override {
        const void* copy = context_.weights.copy(parameters.values[0], form_);
        const bool wanted = input_gradients[0] != nullptr;
        run([=, this, input = *inputs[0], dy = output_gradient, dx = wanted ? *input_gradients[0] : Tensor{},
             p = parameters]() mutable {
            narrow(input, in_);
            const Tensor* source = shifted(p);
            narrow(dy, out_);
            const auto values = weights_of(copy, p);
            p.values[0] = std::span(const_cast<float*>(values.data()), values.size());
            Tensor* gradient = wanted ? &in_gradient_ : nullptr;
            operation_->backward(std::span(&source, 1), out_, out_, std::span(&gradient, 1), p, {}, nullptr);
            if (!wanted) return;
            if (shift_) {
                Tensor* before = &shifted_;
                shift_->backward(std::span(&source, 1), out_, in_gradient_, std::span(&before, 1), p, {},
                                 nullptr);
                std::swap(shifted_, in_gradient_);
            }
            widen(in_gradient_, dx);
        });
    }

  private:
    Tensor plain_tensor(const Shape& shape) {
        return {{shape, nullptr}, oracle_->allocate(shape.size() * sizeof(float))};
    }
    template <class Work>
    void run(Work work) {
        kernels::host::queue(context_.stream(), std::move(work));
    }
    static void narrow(const Tensor& from, Tensor& to) {
        const View v = view_of(from.desc);
        kernels::narrow(elements<T>(from), v.pixels(), v.c, v.pitch, to.data(), nullptr);
    }
    static void widen(const Tensor& from, Tensor& to) {
        const View v = view_of(to.desc);
        kernels::widen(from.data(), v.pixels(), v.c, v.pitch, elements<T>(to), nullptr);
    }
    const Tensor* shifted(const Parameters& p) {
        if (!shift_) return &in_;
        const Tensor* source = &in_;
        shift_->forward(std::span(&source, 1), shifted_, p, {}, nullptr);
        return &shifted_;
    }
    // The weights as the copy has them, back in the arena's order.
    std::vector<float> weights_of(const void* copy, const Parameters& p) const {
        std::vector<float> values(p.values[0].size());
        for (std::size_t e = 0; e < values.size(); ++e)
            values[e] = kernels::to_float(static_cast<const T*>(copy)[form_.place(static_cast<unsigned>(e))]);
        return values;
    }

    std::unique_ptr<Backend> oracle_;
    PlanOptions options_;
    Context& context_;
    std::unique_ptr<Operation> shift_, operation_;
    TensorDesc output_;
    WeightForm form_;
    Tensor in_, shifted_, in_gradient_, out_, residual_;
};

}  // namespace

OperationPtr plan(const Conv2d& op, const Descs& inputs, const PlanOptions& options, Context& context) {
    require_trainable(op, options);
    return make_typed<OracleOperation>(inputs[0], Op{op}, inputs, options, context);
}
OperationPtr plan(const Linear& op, const Descs& inputs, const PlanOptions& options, Context& context) {
    return make_typed<OracleOperation>(inputs[0], Op{op}, inputs, options, context);
}

}  // namespace divs::nn::cuda

std::vector<divs::nn::test::OperationCase> divs::nn::test::device_cases() {
    std::vector<OperationCase> cases = all_cases();
    std::erase_if(cases, [](const OperationCase& c) {
        return std::holds_alternative<Conv2d>(c.op) && c.name != "3x3 odd channels";
    });
    return cases;
}

std::vector<divs::nn::test::OperationCase> divs::nn::test::folded_device_cases() {
    std::vector<OperationCase> cases = folded_cases();
    std::erase_if(cases, [](const OperationCase& c) { return !c.name.starts_with("3x3 odd channels"); });
    return cases;
}

double divs::nn::test::product_bound() {
    return 5e-6;
}
