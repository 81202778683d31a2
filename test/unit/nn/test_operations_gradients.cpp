// The oracle's gradients against central finite differences, in double.

#include "operation_cases.hpp"
#include "reference/loops.hpp"
#include "support/catch.hpp"

using namespace divs;
using namespace divs::nn;
using namespace divs::nn::test;

namespace {

using Doubles = std::vector<double>;

// One case in double, and the scalar sum(output x weights) whose gradients are asked for.
class DoubleOperation {
  public:
    explicit DoubleOperation(const OperationCase& c)
        : data_(fresh_data(c, 11)),
          loops_(reference::make_loops<double>(c.op, c.inputs, PlanOptions{})),
          output_(output_shape(c.op, c.inputs).size()) {
        for (const auto& v : data_.inputs) variables.emplace_back(v.begin(), v.end());
        for (const auto& v : data_.values) variables.emplace_back(v.begin(), v.end());
        for (const auto& v : data_.buffers) buffers_.emplace_back(v.begin(), v.end());
        weights_.assign(data_.output_gradient.begin(), data_.output_gradient.end());
    }

    double loss() {
        loops_->forward(operands());
        double sum = 0;
        for (std::size_t i = 0; i < output_.size(); ++i) sum += output_[i] * weights_[i];
        return sum;
    }

    std::vector<Doubles> gradients() {
        loss();
        std::vector<Doubles> results;
        for (const auto& v : variables) results.emplace_back(v.size(), std::nan(""));
        auto x = operands();
        for (std::size_t i = 0; i < results.size(); ++i)
            (i < data_.inputs.size() ? x.input_gradients : x.gradients).push_back(results[i].data());
        loops_->backward(x);
        return results;
    }

    std::vector<Doubles> variables;  // inputs, then parameters

  private:
    reference::Operands<double> operands() {
        reference::Operands<double> x;
        for (std::size_t i = 0; i < variables.size(); ++i)
            (i < data_.inputs.size() ? x.inputs : x.values).push_back(variables[i].data());
        for (auto& v : buffers_) x.buffers.push_back(v.data());
        x.output = output_.data();
        x.output_gradient = weights_.data();
        x.step = data_.step();
        return x;
    }

    OperationData data_;
    std::unique_ptr<reference::Loops<double>> loops_;
    Doubles output_, weights_;
    std::vector<Doubles> buffers_;
};

// Largest difference to finite differences of up to 200 elements of each variable, relative to the gradient's
// size.
double gradient_error(const OperationCase& c) {
    DoubleOperation operation(c);
    const auto gradients = operation.gradients();
    constexpr double step = 1e-6;
    double worst = 0;
    for (std::size_t v = 0; v < gradients.size(); ++v) {
        double size = 1e-3;
        for (double g : gradients[v]) size = std::max(size, std::abs(g));
        const std::size_t stride = std::max<std::size_t>(1, gradients[v].size() / 200);
        for (std::size_t i = 0; i < gradients[v].size(); i += stride) {
            double& x = operation.variables[v][i];
            const double kept = x;
            x = kept + step;
            const double above = operation.loss();
            x = kept - step;
            const double below = operation.loss();
            x = kept;
            worst = std::max(worst, std::abs((above - below) / (2 * step) - gradients[v][i]) / size);
        }
    }
    return worst;
}

}  // namespace

TEST_CASE("The oracle's gradients agree with finite differences", "[gradients]") {
    for (const auto& c : all_cases()) {
        double work = multiply_adds(c.op, c.inputs);
        if (work > 3e5) continue;  // finite differences repeat the forward pass hundreds of times
        INFO(kind_name(c.op) << ": " << c.name);
        CHECK(gradient_error(c) < 1e-6);
    }
}
