// Long short-term memory. A linear layer makes the part of all gates that the frames give, in one product;
// then frame after frame a smaller one adds what the last output gives, and a kernel does the rest of the
// cell.
#include "kernels/lstm.hpp"

#include <algorithm>

#include "lstm_parts.hpp"
#include "operation.hpp"

namespace divs::nn::cuda {
namespace {

// Rows of a step, clips and then zeros, so many that every step starts on 64 bytes.
constexpr int rows_for(int clips) {
    constexpr int step = 4;  // rows have at least 16 bytes
    return (clips + step - 1) / step * step;
}

// (steps, rows, channels) of the tensors' type, zeroed: the steps of a sequence one behind the other.
class Steps {
  public:
    Steps(int steps, int clips, int channels, const Context& context)
        : clips_(clips),
          rows_(rows_for(clips)),
          channels_(channels),
          type_(context.type()),
          storage_(allocate_storage(context.device, view_of(desc(steps * rows_)).bytes())) {}

    // The clips of step t, and all rows of the first steps.
    Tensor step(int t) const { return {desc(clips_), storage_, view_of(desc(t * rows_)).bytes()}; }
    Tensor first(int steps) const { return {desc(steps * rows_), storage_, 0}; }

  private:
    TensorDesc desc(int rows) const { return make_desc({rows, 1, 1, channels_}, type_); }

    int clips_, rows_, channels_;
    DType type_;
    std::shared_ptr<Storage> storage_;
};

template <class T>
class LstmOperation final : public Operation {
  public:
    LstmOperation(const Lstm& op, const Descs& inputs, const PlanOptions& options, Context& context)
        : frames_(op.frames),
          clips_(inputs[0].shape.n / op.frames),
          output_(make_desc({inputs[0].shape.n, 1, 1, op.hidden}, context.type())),
          context_(context),
          gates_(frames_, clips_, 4 * op.hidden, context),
          h_(frames_ + 1, clips_, op.hidden, context),
          dh_later_(Steps(1, clips_, op.hidden, context).step(0)) {
        const Linear layer{4 * op.hidden, true};
        input_part_ = plan(layer, inputs, options, context);
        hidden_part_ = plan(layer, {h_.step(0).desc}, {options.training, {true}, nullptr, false}, context);
        if (options.training && options.parameter_gradients)
            hidden_weights_ = plan(layer, {h_.first(frames_).desc}, {true, {false}}, context);
        x_ = {input_part_->output(), nullptr, 0};
        x_.storage = allocate_storage(context.device, view_of(x_.desc).bytes());
        shape_ = {clips_, frames_, op.hidden, view_of(output_).pitch, view_of(x_.desc).pitch};
        c_ = floats(frames_ + 1, shape_.pitch);
        dc_ = floats(1, shape_.pitch);
        values_ = floats(frames_, shape_.gate_pitch);
    }

    const TensorDesc& output() const noexcept override { return output_; }

    std::size_t workspace_bytes() const noexcept override {
        std::size_t bytes = 0;
        for (const Operation* part : {input_part_.get(), hidden_part_.get(), hidden_weights_.get()})
            if (part) bytes = std::max(bytes, part->workspace_bytes());
        return bytes;
    }

    void forward(std::span<const Tensor* const> inputs, Tensor& output, const Parameters& parameters,
                 const StepContext& step, float* workspace) override {
        input_part_->forward(inputs, x_, part_of(parameters, LstmPart::input), step, workspace);
        const Parameters hidden = part_of(parameters, LstmPart::hidden);
        for (int t = 0; t < frames_; ++t) {
            const Tensor before = h_.step(t), after = h_.step(t + 1);
            const Tensor* const from = &before;
            Tensor gates = gates_.step(t);
            hidden_part_->forward({&from, 1}, gates, hidden, step, workspace);
            kernels::lstm_cell(frame(x_, t), elements<T>(gates), c(t), shape_, values(t), c(t + 1),
                               elements<T>(after), frame(output, t), context_.stream());
            DIVS_CUDA_LAUNCHED("an LSTM's cell");
        }
    }

    // x and the gates, of which only the values are still needed, make room for their gradients.
    void backward(std::span<const Tensor* const> inputs, const Tensor&, Tensor& output_gradient,
                  std::span<Tensor* const> input_gradients, const Parameters& parameters,
                  const StepContext& step, float* workspace) override {
        clear(dc_);
        clear(dh_later_.storage);
        const Parameters hidden = part_of(parameters, LstmPart::hidden);
        for (int t = frames_ - 1; t >= 0; --t) {
            const Tensor before = h_.step(t);
            Tensor gates = gates_.step(t);
            kernels::lstm_cell_backward(values(t), c(t), c(t + 1), frame(output_gradient, t),
                                        elements<T>(dh_later_), shape_, dc_->data(), elements<T>(gates),
                                        frame(x_, t), context_.stream());
            DIVS_CUDA_LAUNCHED("an LSTM's cell, backward");
            if (t > 0) backward(*hidden_part_, before, gates, &dh_later_, hidden, step, workspace);
        }
        input_part_->backward(inputs, x_, x_, input_gradients, part_of(parameters, LstmPart::input), step,
                              workspace);
        if (!hidden_weights_) return;
        Tensor gates = gates_.first(frames_);
        backward(*hidden_weights_, h_.first(frames_), gates, nullptr, hidden, step, workspace);
    }

  private:
    // A layer's backward, which leaves the gradient of its output as it is.
    static void backward(Operation& layer, const Tensor& input, Tensor& gradient, Tensor* input_gradient,
                         const Parameters& parameters, const StepContext& step, float* workspace) {
        const Tensor* const from = &input;
        Tensor* const to = input_gradient;
        layer.backward({&from, 1}, gradient, gradient, {&to, 1}, parameters, step, workspace);
    }
    void clear(const std::shared_ptr<Storage>& storage) const {
        DIVS_CUDA_CALL(cudaMemsetAsync, storage->data(), 0, storage->bytes(), context_.stream());
    }
    // (steps, clips, pitch)
    std::shared_ptr<Storage> floats(int steps, int pitch) const {
        return allocate_storage(context_.device, offset(steps, pitch) * sizeof(float));
    }
    std::size_t offset(int steps, int pitch) const {
        return static_cast<std::size_t>(steps) * static_cast<std::size_t>(clips_) *
               static_cast<std::size_t>(pitch);
    }
    float* c(int t) const { return c_->data() + offset(t, shape_.pitch); }  // before frame t
    float* values(int t) const { return values_->data() + offset(t, shape_.gate_pitch); }
    // From frame t of the first clip on.
    static T* frame(const Tensor& clips, int t) {
        return elements<T>(clips) + static_cast<std::ptrdiff_t>(t) * view_of(clips.desc).pitch;
    }

    int frames_, clips_;
    TensorDesc output_;
    Context& context_;
    OperationPtr input_part_, hidden_part_, hidden_weights_;
    Tensor x_;         // (N, 4 hidden), clip by clip
    Steps gates_, h_;  // h before each frame, and behind the last
    Tensor dh_later_;  // gradient of h from the frame behind
    kernels::LstmStep shape_;
    std::shared_ptr<Storage> c_, dc_, values_;
};

}  // namespace

OperationPtr plan(const Lstm& op, const Descs& inputs, const PlanOptions& options, Context& context) {
    return make_typed<LstmOperation>(inputs[0], op, inputs, options, context);
}

}  // namespace divs::nn::cuda
