// Convolutions that add a residual and apply an activation, as models folded for prediction have them.
#include <limits>

#include "cpu_padding.hpp"
#include "divs/core/error.hpp"
#include "operation_cases.hpp"
#include "support/catch.hpp"

using namespace divs;
using namespace divs::nn;
using namespace divs::nn::test;

namespace {

RunOptions predicting() {
    RunOptions options;
    options.plan.training = false;
    options.backward = false;
    options.repeats = 2;
    return options;
}

// The convolution, then the addition and the activation by themselves.
std::vector<float> in_steps(Backend& backend, OperationCase c, const OperationData& data) {
    auto& op = std::get<Conv2d>(c.op);
    const Activation activation = op.activation;
    OperationData part = data;
    op.activation = Activation::none;
    op.residual = false;
    const Shape out = conv_output_shape(op, c.inputs[0]);
    c.inputs.resize(1);
    part.inputs.resize(1);
    const auto sums = run_operation(backend, c, part, predicting()).output;
    part = {{sums}, {}, {}, {}, data.samples};
    OperationCase ending{c.name, Activate{activation}, {out}};
    if (data.inputs.size() > 1) {
        part.inputs.push_back(data.inputs[1]);
        ending = {c.name, Add{activation}, {out, out}};
    }
    return run_operation(backend, ending, part, predicting()).output;
}

}  // namespace

TEST_CASE("The oracle's folded convolution is its convolution, its sum and its activation", "[folded]") {
    auto oracle = make_backend("reference", {});
    for (const auto& c : folded_cases()) {
        INFO(c.name);
        const auto data = fresh_data(c, 4);
        CHECK(relative_error(run_operation(*oracle, c, data, predicting()).output,
                             in_steps(*oracle, c, data)) < 1e-7);
    }
}

TEST_CASE("cpu agrees with the oracle on folded convolutions, in every layout and number of threads",
          "[folded]") {
    auto oracle = make_backend("reference", {}), one = make_backend("cpu", {}),
         two = make_backend("cpu", {2, false});
    for (const auto& c : folded_cases()) {
        INFO(c.name);
        const auto data = fresh_data(c, 21);
        const auto expected = run_operation(*oracle, c, data, predicting()).output;
        for (const auto& [block, second] : {std::pair{0, 0}, {1, 1}, {8, 8}, {16, 16}, {16, 8}, {8, 1}}) {
            RunOptions options = predicting();
            INFO("blocks " << block << " and " << second);
            options.inputs = blocked_descs(c, block, second);
            CHECK(relative_error(run_operation(*one, c, data, options).output, expected) < 1e-5);
            CHECK(relative_error(run_operation(*two, c, data, options).output, expected) < 1e-5);
        }
        RunOptions options = predicting();
        options.inputs = {one->input_desc(c.inputs[0], c.op)};
        if (c.inputs.size() > 1) options.inputs.push_back({c.inputs[1], nullptr});
        CHECK(relative_error(run_operation(*one, c, data, options).output, expected) < 1e-5);
    }
}

TEST_CASE("Padding of channels stays zero behind folded convolutions", "[folded]") {
    auto backend = make_backend("cpu", {});
    for (const auto& c : folded_cases()) {
        INFO(c.name);
        CHECK(written_padding(*backend, c, predicting().plan) == 0);
    }
}

// A NaN that an activation turned into a number would pass for an answer.
TEST_CASE("What is no number is none behind a folded convolution", "[folded]") {
    for (const char* name : {"reference", "cpu"}) {
        auto backend = make_backend(name, {});
        for (const auto& c : folded_cases()) {
            INFO(name << ": " << c.name);
            auto data = fresh_data(c, 5);
            const std::size_t channels = static_cast<std::size_t>(std::get<Conv2d>(c.op).out_channels);
            const std::size_t taps = data.values[0].size() / channels, bad = channels / 2;
            data.values[0][bad * taps + taps / 2] = std::numeric_limits<float>::quiet_NaN();
            const auto output = run_operation(*backend, c, data, predicting()).output;
            std::size_t spread = 0;
            bool found = false;
            for (std::size_t i = 0; i < output.size(); ++i) {
                const bool finite = std::isfinite(output[i]);
                found = found || !finite;
                spread += i % channels != bad && !finite;
            }
            CHECK(found);
            CHECK(spread == 0);
        }
    }
}

TEST_CASE("A folded convolution has two inputs where it adds one, and no plan for training", "[folded]") {
    Conv2d op = conv(8, 3, 2, 1, 1, 1, true);
    op.residual = true;
    op.activation = Activation::relu;
    const Shape in{2, 9, 9, 4}, out{2, 5, 5, 8};
    CHECK(input_count(op) == 2);
    CHECK(output_shape(op, {in, out}) == out);
    CHECK(multiply_adds(op, {in, out}) == 2.0 * 25 * 8 * 4 * 9);
    CHECK(parameter_shapes(op, {in, out}).size() == 2);
    CHECK_THROWS_AS(output_shape(op, {in}), ConfigError);
    CHECK_THROWS_AS(output_shape(op, {in, in}), ConfigError);
    for (const char* name : {"reference", "cpu"}) {
        auto backend = make_backend(name, {});
        const std::vector<TensorDesc> inputs{{in, nullptr}, {out, nullptr}};
        CHECK_THROWS_WITH(backend->plan(op, inputs, PlanOptions{}),
                          Catch::Matchers::ContainsSubstring("cannot be trained"));
    }
}
