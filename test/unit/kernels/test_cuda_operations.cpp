// Every operation of the cuda backend against the oracle, on the double of the device (under every order of threads)
// or on a real one: in float32 and bfloat16, on fresh numbers each run, with poisoned outputs.
#include "bf16.hpp"
#include "cuda/backend.hpp"
#include "cuda/tensor_view.hpp"
#include "device_cases.hpp"
#include "device_values.hpp"
#include "divs/core/error.hpp"
#include "support/catch.hpp"
#include "unit/kernels/orders.hpp"

using namespace divs;
using namespace divs::nn;
using namespace divs::nn::test;
using divs::test::in_all_orders;
using divs::test::run_seed;

namespace {

constexpr Precision precisions[] = {Precision::float32, Precision::bfloat16};

std::unique_ptr<Backend> device_backend(Precision precision, bool deterministic = false) {
    BackendOptions options;
    options.precision = precision;
    options.deterministic = deterministic;
    return cuda::make_backend(options);
}

// The largest relative error (2-norm) of all that an operation computes: its sums are float32, those of
// products in another order; bfloat16 rounds weights and what is written to 8 bits, and the gradients of an
// LSTM, whose gates bend at what was rounded, carry that on from frame to frame.
double bound(Precision precision, const Op& op) {
    const bool lstm = std::holds_alternative<Lstm>(op);
    if (precision == Precision::bfloat16) return lstm ? 3e-2 : 6e-3;
    const bool products = lstm || std::holds_alternative<Conv2d>(op) || std::holds_alternative<Linear>(op);
    return products ? product_bound() : 5e-6;
}

void round_to_bf16(std::vector<float>& values) {
    for (float& v : values) v = __bfloat162float(__float2bfloat16_rn(v));
}

OperationData data_for(const OperationCase& c, Precision precision, std::uint64_t seed) {
    OperationData data = fresh_data(c, seed);
    if (precision == Precision::bfloat16) {
        for (auto& input : data.inputs) round_to_bf16(input);
        round_to_bf16(data.output_gradient);
    }
    return data;
}

// Outputs next to a kink of the activation fall on either side of it in another arithmetic: no gradient
// there.
void keep_off_kinks(OperationData& data, const std::vector<float>& output, double margin) {
    for (std::size_t i = 0; i < output.size(); ++i)
        if (std::abs(static_cast<double>(output[i])) < margin ||
            std::abs(static_cast<double>(output[i]) - 6) < margin)
            data.output_gradient[i] = 0;
}

bool windows_have_ties(const OperationCase& c) {  // bfloat16 inputs repeat, and then maxima tie
    const auto* pool = std::get_if<Pool>(&c.op);
    return pool && pool->kind == PoolKind::max;
}

void check_agreement(Precision precision, const OperationCase& c, RunOptions options) {
    auto backend = device_backend(precision);
    auto oracle = make_backend("reference", {});
    OperationData data = data_for(c, precision, run_seed());
    keep_off_kinks(data, run_operation(*oracle, c, data, options).output,
                   precision == Precision::float32 ? 1e-4 : 0.05);
    const auto expected = run_operation(*oracle, c, data, options);
    for (const Shape& s : c.inputs) options.inputs.push_back(backend->input_desc(s, c.op));
    const auto actual = run_operation(*backend, c, data, options);
    const double limit = bound(precision, c.op);
    CHECK(relative_error(actual.output, expected.output) < limit);
    for (std::size_t i = 0; i < expected.buffers.size(); ++i)
        CHECK(relative_error(actual.buffers[i], expected.buffers[i]) < limit);
    if (!options.backward) return;
    for (std::size_t i = 0; i < expected.input_gradients.size(); ++i)
        CHECK(relative_error(actual.input_gradients[i], expected.input_gradients[i]) < limit);
    for (std::size_t i = 0; i < expected.gradients.size(); ++i)
        CHECK(relative_error(actual.gradients[i], expected.gradients[i]) < limit);
}

}  // namespace

TEST_CASE("cuda agrees with the oracle, training", "[cuda]") {
    for (const Precision precision : precisions)
        for (const auto& c : device_cases()) {
            INFO(kind_name(c.op) << ": " << c.name << (precision == Precision::float32 ? "" : ", bfloat16"));
            in_all_orders([&] {
                RunOptions options;
                options.repeats = windows_have_ties(c) ? 1 : 2;
                check_agreement(precision, c, options);
            });
        }
}

TEST_CASE("cuda agrees with the oracle in evaluation", "[cuda]") {
    std::vector<OperationCase> cases = device_cases(), folded = folded_device_cases();
    std::move(folded.begin(), folded.end(), std::back_inserter(cases));
    for (const Precision precision : precisions)
        for (const auto& c : cases) {
            INFO(kind_name(c.op) << ": " << c.name);
            RunOptions options;
            options.plan.training = false;
            options.backward = false;
            check_agreement(precision, c, options);
        }
}

TEST_CASE("cuda plans no folded convolution for training", "[cuda]") {
    auto backend = device_backend(Precision::float32);
    for (const auto& c : folded_device_cases()) {
        std::vector<TensorDesc> inputs;
        for (const Shape& s : c.inputs) inputs.push_back(backend->input_desc(s, c.op));
        CHECK_THROWS_WITH(backend->plan(c.op, inputs, PlanOptions{}),
                          Catch::Matchers::ContainsSubstring("cannot be trained"));
    }
}

TEST_CASE("cuda leaves gradients alone that nobody asked for", "[cuda]") {
    for (const auto& c : device_cases()) {
        INFO(kind_name(c.op) << ": " << c.name);
        RunOptions options;
        options.plan.input_gradients.assign(c.inputs.size(), true);
        options.plan.input_gradients[0] = false;
        check_agreement(Precision::float32, c, options);

        auto backend = device_backend(Precision::float32);
        const auto data = fresh_data(c, run_seed());
        RunOptions frozen;
        frozen.plan.parameter_gradients = false;
        for (const Shape& s : c.inputs) frozen.inputs.push_back(backend->input_desc(s, c.op));
        for (const auto& gradient : run_operation(*backend, c, data, frozen).gradients)
            CHECK(std::all_of(gradient.begin(), gradient.end(), [](float g) { return g != g; }));
    }
}

namespace {

void check_padding(Precision precision, const OperationCase& c, bool training) {
    INFO(kind_name(c.op) << ": " << c.name);
    auto backend = device_backend(precision);
    std::vector<TensorDesc> inputs;
    for (const Shape& s : c.inputs) inputs.push_back(backend->input_desc(s, c.op));
    PlanOptions plan;
    plan.training = training;
    const auto operation = backend->plan(c.op, inputs, plan);
    const auto data = fresh_data(c, 3);
    std::vector<Tensor> tensors;
    for (std::size_t i = 0; i < inputs.size(); ++i)
        tensors.push_back(make_tensor(*backend, inputs[i], &data.inputs[i]));
    std::vector<const Tensor*> pointers;
    for (const auto& t : tensors) pointers.push_back(&t);
    const Arrays values(*backend, data.values), buffers(*backend, data.buffers);
    Tensor output = make_tensor(*backend, operation->output());
    const auto workspace = backend->allocate(operation->workspace_bytes());
    operation->forward(pointers, output, {values.spans(), {}, buffers.spans()}, data.step(),
                       workspace->data());
    const cuda::View view = cuda::view_of(output.desc);
    const auto bytes =
        kernels::test::read_device(reinterpret_cast<const char*>(output.data()), output.storage->bytes());
    const std::size_t width = cuda::size_of(view.type), pitch = static_cast<std::size_t>(view.pitch);
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < view.size(); ++i)
        if (i % pitch >= static_cast<std::size_t>(view.c))
            for (std::size_t b = 0; b < width; ++b) wrong += bytes[i * width + b] != 0;
    CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("Padding of channels stays zero in all that the cuda backend writes", "[cuda]") {
    for (const Precision precision : precisions) {
        for (const auto& c : device_cases()) check_padding(precision, c, true);
        for (const auto& c : folded_device_cases()) check_padding(precision, c, false);
    }
}

TEST_CASE("The cuda backend repeats bit for bit, whatever the order of threads", "[cuda]") {
    for (const auto& c : device_cases()) {
        INFO(kind_name(c.op) << ": " << c.name);
        const auto data = fresh_data(c, run_seed());
        std::vector<OperationResult> results;
        in_all_orders([&] {
            auto backend = device_backend(Precision::float32, true);
            RunOptions options;
            for (const Shape& s : c.inputs) options.inputs.push_back(backend->input_desc(s, c.op));
            results.push_back(run_operation(*backend, c, data, options));
        });
        for (const auto& result : results) {
            CHECK(result.output == results[0].output);
            CHECK(result.input_gradients == results[0].input_gradients);
            CHECK(result.gradients == results[0].gradients);
        }
    }
}

TEST_CASE("Operations of the cuda backend refuse tensors of another backend", "[cuda]") {
    auto backend = device_backend(Precision::float32);
    CHECK_THROWS_WITH(backend->plan(Op{Activate{}}, {{Shape{2, 3, 3, 8}, nullptr}}, PlanOptions{}),
                      Catch::Matchers::ContainsSubstring("its own layout"));
}
