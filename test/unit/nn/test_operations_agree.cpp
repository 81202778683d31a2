// The cpu backend against the oracle: every operation, awkward shapes, every layout, one thread and two.
#include <algorithm>

#include "cpu_padding.hpp"
#include "operation_cases.hpp"
#include "support/catch.hpp"

using namespace divs;
using namespace divs::nn;
using namespace divs::nn::test;

namespace {

// Two roundings to float of one number may fall on different sides of a kink: no gradient flows there.
void keep_off_kinks(OperationData& data, const std::vector<float>& output) {
    for (std::size_t i = 0; i < output.size(); ++i)
        if (std::abs(output[i]) < 1e-4F || std::abs(output[i] - 6.0F) < 1e-4F) data.output_gradient[i] = 0;
}

// The largest relative error (2-norm) of all that an operation computes: the stated bound of the cpu backend
// is 1e-5 for sums of products that oneDNN may reorder, and 2e-6 for the rest.
double bound(const Op& op) {
    const bool products = std::holds_alternative<Conv2d>(op) || std::holds_alternative<Linear>(op) ||
                          std::holds_alternative<Lstm>(op);
    return products ? 1e-5 : 2e-6;
}

void check_agreement(Backend& backend, const OperationCase& c, RunOptions options) {
    OperationData data = fresh_data(c, 21);
    RunOptions plain = options;
    plain.inputs.clear();
    auto oracle = make_backend("reference", {});
    keep_off_kinks(data, run_operation(*oracle, c, data, plain).output);
    const auto expected = run_operation(*oracle, c, data, plain);
    const auto actual = run_operation(backend, c, data, options);
    CHECK(relative_error(actual.output, expected.output) < bound(c.op));
    for (std::size_t i = 0; i < expected.buffers.size(); ++i)
        CHECK(relative_error(actual.buffers[i], expected.buffers[i]) < bound(c.op));
    if (!options.backward) return;
    for (std::size_t i = 0; i < expected.input_gradients.size(); ++i)
        CHECK(relative_error(actual.input_gradients[i], expected.input_gradients[i]) < bound(c.op));
    for (std::size_t i = 0; i < expected.gradients.size(); ++i)
        CHECK(relative_error(actual.gradients[i], expected.gradients[i]) < bound(c.op));
}

}  // namespace

TEST_CASE("cpu agrees with the oracle in every layout, training", "[agree]") {
    auto backend = make_backend("cpu", {});
    for (const auto& c : all_cases())
        for (int block : {0, 1, 8, 16}) {
            INFO(kind_name(c.op) << ": " << c.name << ", block " << block);
            RunOptions options;
            options.inputs = blocked_descs(c, block, block);
            options.repeats = 2;
            check_agreement(*backend, c, options);
        }
}

TEST_CASE("cpu agrees with the oracle in the layout that it chooses, on two threads", "[agree]") {
    auto backend = make_backend("cpu", {2, false});
    for (const auto& c : all_cases()) {
        INFO(kind_name(c.op) << ": " << c.name);
        RunOptions options;
        for (const Shape& s : c.inputs) options.inputs.push_back(backend->input_desc(s, c.op));
        check_agreement(*backend, c, options);
    }
}

TEST_CASE("cpu agrees with the oracle where two inputs have two layouts", "[agree]") {
    auto backend = make_backend("cpu", {2, false});
    for (const auto& c : all_cases()) {
        if (c.inputs.size() < 2) continue;
        INFO(kind_name(c.op) << ": " << c.name);
        RunOptions options;
        options.inputs = blocked_descs(c, 8, 1);
        check_agreement(*backend, c, options);
    }
}

TEST_CASE("cpu agrees with the oracle in evaluation", "[agree]") {
    auto backend = make_backend("cpu", {});
    for (const auto& c : all_cases()) {
        INFO(kind_name(c.op) << ": " << c.name);
        RunOptions options;
        options.plan.training = false;
        options.backward = false;
        options.inputs = blocked_descs(c, 16, 16);
        check_agreement(*backend, c, options);
    }
}

TEST_CASE("An input without gradient is left alone, the others are not", "[agree]") {
    auto backend = make_backend("cpu", {});
    for (const auto& c : all_cases()) {
        INFO(kind_name(c.op) << ": " << c.name);
        RunOptions options;
        options.plan.input_gradients.assign(c.inputs.size(), true);
        options.plan.input_gradients[0] = false;
        options.inputs = blocked_descs(c, 16, 16);
        check_agreement(*backend, c, options);
    }
}

TEST_CASE("Gradients of frozen parameters are left alone, those of the inputs are not", "[agree]") {
    for (const char* name : {"reference", "cpu"}) {
        auto backend = make_backend(name, {});
        for (const auto& c : all_cases()) {
            INFO(name << " " << kind_name(c.op) << ": " << c.name);
            const auto data = fresh_data(c, 2);
            RunOptions options;
            const auto learned = run_operation(*backend, c, data, options);
            options.plan.parameter_gradients = false;
            const auto frozen = run_operation(*backend, c, data, options);
            CHECK(frozen.input_gradients == learned.input_gradients);
            for (const auto& gradient : frozen.gradients)
                CHECK(std::all_of(gradient.begin(), gradient.end(), [](float g) { return g != g; }));
        }
    }
}

TEST_CASE("Padding of channels stays zero in all that the cpu backend writes", "[agree]") {
    auto backend = make_backend("cpu", {});
    for (const auto& c : all_cases()) {
        INFO(kind_name(c.op) << ": " << c.name);
        CHECK(written_padding(*backend, c, {}) == 0);
    }
}

TEST_CASE("The cpu backend repeats bit for bit", "[agree]") {
    for (int threads : {1, 2}) {
        auto backend = make_backend("cpu", {threads, true});
        for (const auto& c : all_cases()) {
            INFO(kind_name(c.op) << ": " << c.name);
            const auto data = fresh_data(c, 8);
            RunOptions options;
            options.inputs = blocked_descs(c, 16, 16);
            const auto first = run_operation(*backend, c, data, options);
            const auto second = run_operation(*backend, c, data, options);
            CHECK(first.output == second.output);
            CHECK(first.input_gradients == second.input_gradients);
            CHECK(first.gradients == second.gradients);
        }
    }
}
