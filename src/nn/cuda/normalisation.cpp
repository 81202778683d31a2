// Batch normalisation: with residual and activation, forward and backward, over this rank's batch or all
// ranks'.
#include "kernels/norm.hpp"
#include "operation.hpp"

namespace divs::nn::cuda {
namespace {

template <class T>
class NormOperation final : public Operation {
  public:
    NormOperation(const BatchNorm& op, const TensorDesc& input, const PlanOptions& options, Context& context)
        : op_(op), output_(input), options_(options), device_(context.device) {
        const View view = view_of(input);
        shape_ = {view.pixels(), view.c, view.pitch};
        grid_ = kernels::norm_grid(shape_, 16 / static_cast<int>(sizeof(T)), device_.multiprocessors());
        const std::size_t pitch = static_cast<std::size_t>(view.pitch);
        memory_ = allocate_device(device_, 2 * pitch * sizeof(float) + (sums() + products()) * sizeof(double),
                                  "statistics of norms");
        state_.mean = static_cast<float*>(memory_.get());
        state_.inverse = state_.mean + pitch;
        sums_ = reinterpret_cast<double*>(state_.inverse + pitch);
        if (options.reducer) exchange_ = allocate_pinned(sums() * sizeof(double), "statistics of norms");
    }

    const TensorDesc& output() const noexcept override { return output_; }
    std::size_t workspace_bytes() const noexcept override {
        return kernels::norm_partial_floats(shape_, grid_) * sizeof(float);
    }

    void forward(std::span<const Tensor* const> inputs, Tensor& output, const Parameters& parameters,
                 const StepContext&, float* workspace) override {
        const T* x = elements<T>(inputs[0]);
        if (options_.training) {
            kernels::norm_sums(x, shape_, grid_, workspace, sums_, stream());
            finish_statistics(parameters);
        } else {
            kernels::norm_from_running(running(parameters), shape_, epsilon(), state_, stream());
        }
        kernels::norm_apply(x, op_.residual ? elements<T>(inputs[1]) : nullptr, shape_, grid_, state_,
                            learned(parameters), curve(), elements<T>(output), stream());
        DIVS_CUDA_LAUNCHED("batch norm");
    }

    void backward(std::span<const Tensor* const> inputs, const Tensor& output, Tensor& output_gradient,
                  std::span<Tensor* const> input_gradients, const Parameters& parameters, const StepContext&,
                  float* workspace) override {
        const T *x = elements<T>(inputs[0]), *y = op_.residual ? elements<T>(output) : nullptr;
        const T* dy = elements<T>(output_gradient);
        T *dx = elements<T>(input_gradients[0]),
          *dresidual = op_.residual ? elements<T>(input_gradients[1]) : nullptr;
        const bool wanted = options_.parameter_gradients;
        double* products = sums_ + sums();
        kernels::norm_backward_sums(x, y, dy, shape_, grid_, state_, learned(parameters), curve(), workspace,
                                    products, wanted ? parameters.gradients[0].data() : nullptr,
                                    wanted ? parameters.gradients[1].data() : nullptr, dresidual, stream());
        if (options_.reducer) reduce(products, this->products());
        if (dx)
            kernels::norm_backward(x, y, dresidual ? dresidual : dy, shape_, grid_, state_,
                                   learned(parameters), dresidual ? kernels::Curve::none : curve(), products,
                                   sums_, dx, stream());
        DIVS_CUDA_LAUNCHED("batch norm, backward");
    }

    void forward_empty(const Parameters& parameters) override {
        if (!options_.training || !options_.reducer) return;
        DIVS_CUDA_CALL(cudaMemsetAsync, sums_, 0, sums() * sizeof(double), stream());
        finish_statistics(parameters);
        DIVS_CUDA_LAUNCHED("batch norm");
    }

    void backward_empty(const Parameters&) override {
        if (!options_.training || !options_.reducer) return;
        DIVS_CUDA_CALL(cudaMemsetAsync, sums_ + sums(), 0, products() * sizeof(double), stream());
        reduce(sums_ + sums(), products());
    }

  private:
    std::size_t sums() const { return 1 + 2 * static_cast<std::size_t>(shape_.channels); }
    std::size_t products() const { return 2 * static_cast<std::size_t>(shape_.channels); }
    double epsilon() const { return static_cast<double>(op_.epsilon); }
    kernels::Curve curve() const { return curve_of(op_.activation); }
    cudaStream_t stream() const { return device_.stream(); }

    static kernels::NormParameters learned(const Parameters& p) {
        return {p.values[0].data(), p.values[1].data()};
    }
    kernels::NormRunning running(const Parameters& p) const {
        return {p.buffers[0].data(), p.buffers[1].data(), op_.momentum};
    }

    void finish_statistics(const Parameters& parameters) {
        if (options_.reducer) reduce(sums_, sums());
        kernels::norm_statistics(sums_, shape_, epsilon(), running(parameters), state_, stream());
    }

    // Sums over ranks: where they lie, or through the host.
    void reduce(double* values, std::size_t count) {
        if (options_.reducer->on_device()) return options_.reducer->sum({values, count});
        auto* host = static_cast<double*>(exchange_.get());
        DIVS_CUDA_CALL(cudaMemcpyAsync, host, values, count * sizeof(double), cudaMemcpyDeviceToHost,
                       stream());
        device_.synchronise();
        options_.reducer->sum({host, count});
        DIVS_CUDA_CALL(cudaMemcpyAsync, values, host, count * sizeof(double), cudaMemcpyHostToDevice,
                       stream());
    }

    BatchNorm op_;
    TensorDesc output_;
    PlanOptions options_;
    Device& device_;
    kernels::NormShape shape_;
    kernels::NormGrid grid_;
    DeviceBytes memory_;
    kernels::NormState state_;
    double* sums_ = nullptr;  // of the forward pass, then those of the backward pass
    PinnedBytes exchange_;
};

}  // namespace

OperationPtr plan(const BatchNorm& op, const Descs& inputs, const PlanOptions& options, Context& context) {
    return make_typed<NormOperation>(inputs[0], op, inputs[0], options, context);
}

}  // namespace divs::nn::cuda
