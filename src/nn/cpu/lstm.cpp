// Long short-term memory. A linear layer makes the part of all gates that the frames give, in one product;
// then frame after frame adds what the last output gives. Rows of one frame lie `frames` rows apart, one a
// clip.
#include <omp.h>

#include <algorithm>
#include <cmath>

#include "host_storage.hpp"
#include "lstm_parts.hpp"
#include "onednn.hpp"
#include "operation.hpp"
#include "parallel.hpp"

namespace divs::nn::cpu {
namespace {

float sigmoid(float x) {
    return 1 / (1 + std::exp(-x));
}

class LstmOperation final : public Operation {
  public:
    LstmOperation(const Lstm& op, const std::vector<TensorDesc>& inputs, const PlanOptions& options,
                  const Environment& env)
        : input_part_(plan(Linear{4 * op.hidden, true}, inputs, options, env)),
          frames_(op.frames),
          hidden_(op.hidden),
          clips_(inputs[0].shape.n / op.frames),
          learns_(options.parameter_gradients),
          threads_(env.options.threads),
          output_{{inputs[0].shape.n, 1, 1, op.hidden}, nullptr},
          gates_{input_part_->output(), allocate_host(input_part_->output().shape.size() * sizeof(float))},
          c_(output_.shape.size()),
          dc_(static_cast<std::size_t>(clips_) * width()) {}

    const TensorDesc& output() const noexcept override { return output_; }
    std::size_t workspace_bytes() const noexcept override { return input_part_->workspace_bytes(); }

    void forward(std::span<const Tensor* const> inputs, Tensor& output, const Parameters& parameters,
                 const StepContext& step, float* workspace) override {
        input_part_->forward(inputs, gates_, part_of(parameters, LstmPart::input), step, workspace);
        omp_set_num_threads(threads_);
        const float *weight = parameters.values[1].data(), *bias = parameters.values[3].data();
        for (int t = 0; t < frames_; ++t) {
            if (t > 0)
                onednn::gemm(false, true, clips_, 4 * hidden_, hidden_, output.data() + at(t - 1), row(),
                             weight, hidden_, true, gates_.data() + 4 * at(t), 4 * row());
            parallel_for(threads_, static_cast<std::size_t>(clips_),
                         [&](std::size_t clip) { cell(clip, t, bias, output.data()); });
        }
    }

    void backward(std::span<const Tensor* const> inputs, const Tensor& output, Tensor& output_gradient,
                  std::span<Tensor* const> input_gradients, const Parameters& parameters,
                  const StepContext& step, float* workspace) override {
        omp_set_num_threads(threads_);
        float* dh = output_gradient.data();
        std::fill(dc_.begin(), dc_.end(), 0.0F);
        for (int t = frames_ - 1; t >= 0; --t) {
            if (t + 1 < frames_)
                onednn::gemm(false, false, clips_, hidden_, 4 * hidden_, gates_.data() + 4 * at(t + 1),
                             4 * row(), parameters.values[1].data(), hidden_, true, dh + at(t), row());
            parallel_for(threads_, static_cast<std::size_t>(clips_),
                         [&](std::size_t clip) { cell_backward(clip, t, dh); });
        }
        input_part_->backward(inputs, gates_, gates_, input_gradients, part_of(parameters, LstmPart::input),
                              step, workspace);
        if (learns_) hidden_gradients(output.data(), parameters);
    }

  private:
    std::size_t width() const { return static_cast<std::size_t>(hidden_); }
    int row() const { return frames_ * hidden_; }  // elements of the output from one clip to the next
    std::size_t at(int frame) const { return static_cast<std::size_t>(frame) * width(); }
    std::size_t at(std::size_t clip, int frame) const {
        return clip * static_cast<std::size_t>(row()) + at(frame);
    }

    // The gates become the values of their functions.
    void cell(std::size_t clip, int t, const float* bias, float* output) {
        const std::size_t w = width(), place = at(clip, t);
        float *gates = gates_.data() + 4 * place, *c = c_.data() + place, *h = output + place;
        for (std::size_t k = 0; k < w; ++k) {
            float* gate = gates + k;
            gate[0] = sigmoid(gate[0] + bias[k]);
            gate[w] = sigmoid(gate[w] + bias[w + k]);
            gate[2 * w] = std::tanh(gate[2 * w] + bias[2 * w + k]);
            gate[3 * w] = sigmoid(gate[3 * w] + bias[3 * w + k]);
            c[k] = gate[w] * before(place, t, k) + gate[0] * gate[2 * w];
            h[k] = gate[3 * w] * std::tanh(c[k]);
        }
    }

    // The gates become the gradients before their functions; dc becomes that of the frame before.
    void cell_backward(std::size_t clip, int t, const float* dh) {
        const std::size_t w = width(), place = at(clip, t);
        float *gates = gates_.data() + 4 * place, *dc = dc_.data() + clip * w;
        for (std::size_t k = 0; k < w; ++k) {
            float* gate = gates + k;
            const float i = gate[0], f = gate[w], g = gate[2 * w], o = gate[3 * w], d = dh[place + k];
            const float bent = std::tanh(c_[place + k]), state = dc[k] + d * o * (1 - bent * bent);
            gate[0] = state * g * i * (1 - i);
            gate[w] = state * before(place, t, k) * f * (1 - f);
            gate[2 * w] = state * i * (1 - g * g);
            gate[3 * w] = d * bent * o * (1 - o);
            dc[k] = state * f;
        }
    }

    // The cell of the frame before.
    float before(std::size_t place, int t, std::size_t k) const {
        return t > 0 ? c_[place - width() + k] : 0.0F;
    }

    // Row n of the gates met row n - 1 of the output, but in the first frame of a clip, which met zeros: with
    // those rows cleared one product over all rows does.
    void hidden_gradients(const float* output, const Parameters& parameters) {
        std::copy(parameters.gradients[2].begin(), parameters.gradients[2].end(),
                  parameters.gradients[3].begin());
        for (std::size_t clip = 0; clip < static_cast<std::size_t>(clips_); ++clip)
            std::fill_n(gates_.data() + 4 * at(clip, 0), 4 * width(), 0.0F);
        std::fill(parameters.gradients[1].begin(), parameters.gradients[1].end(), 0.0F);
        onednn::gemm(true, false, 4 * hidden_, hidden_, clips_ * frames_ - 1, gates_.data() + 4 * width(),
                     4 * hidden_, output, hidden_, true, parameters.gradients[1].data(), hidden_);
    }

    OperationPtr input_part_;
    int frames_, hidden_, clips_;
    bool learns_;
    int threads_;
    TensorDesc output_;
    Tensor gates_;               // (N, 4 hidden)
    std::vector<float> c_, dc_;  // (N, hidden), (clips, hidden)
};

}  // namespace

OperationPtr plan(const Lstm& op, const std::vector<TensorDesc>& inputs, const PlanOptions& options,
                  const Environment& env) {
    return std::make_unique<LstmOperation>(op, inputs, options, env);
}

}  // namespace divs::nn::cpu
