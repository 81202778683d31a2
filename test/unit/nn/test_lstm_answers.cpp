// What torch.nn.LSTM gives for the same parameters and frames, both hashes of (element, name): see
// bench/peers/lstm_answers.py.
#include <map>

#include "hashed_numbers.hpp"
#include "operation_cases.hpp"
#include "support/catch.hpp"

using namespace divs::nn;
using namespace divs::nn::test;

namespace {

const std::map<std::string, std::vector<double>>& answers() {
    static const std::map<std::string, std::vector<double>> all{
#include "torch_lstm_answers.inc"
    };
    return all;
}

std::vector<float> numbers(std::string_view name, std::size_t count) {  // in [-1, 1)
    std::vector<float> values;
    for (std::uint32_t i = 0; i < count; ++i)
        values.push_back(static_cast<float>(hash(i, name_hash(name)) * 0x1p-31 - 1));
    return values;
}

// Torch's (N, C, H, W) as (N, H, W, C).
template <class T>
std::vector<T> channels_last(const std::vector<T>& values, const Shape& s) {
    std::vector<T> moved;
    for (int n = 0; n < s.n; ++n)
        for (int h = 0; h < s.h; ++h)
            for (int w = 0; w < s.w; ++w)
                for (int c = 0; c < s.c; ++c)
                    moved.push_back(values[static_cast<std::size_t>(((n * s.c + c) * s.h + h) * s.w + w)]);
    return moved;
}

void check(const std::vector<float>& actual, const std::vector<double>& expected) {
    REQUIRE(actual.size() == expected.size());
    for (std::size_t i = 0; i < actual.size(); ++i)
        CHECK(static_cast<double>(actual[i]) == Approx(expected[i]).margin(1e-6).epsilon(0));
}

}  // namespace

TEST_CASE("An LSTM gives torch's outputs and gradients") {
    const Shape in{2 * 4, 2, 1, 3};
    const OperationCase c{"torch's", Lstm{4, 3}, {in}};
    const auto shapes = parameter_shapes(c.op, c.inputs);
    OperationData data;
    data.inputs = {channels_last(numbers("frames", in.size()), in)};
    for (const auto& p : shapes) data.values.push_back(numbers(p.name, p.size()));
    data.output_gradient = numbers("output gradient", output_shape(c.op, c.inputs).size());
    for (const char* name : {"reference", "cpu"}) {
        INFO(name);
        const auto backend = make_backend(name, {});
        const OperationResult result = run_operation(*backend, c, data);
        check(result.output, answers().at("output"));
        check(result.input_gradients[0], channels_last(answers().at("frames"), in));
        for (std::size_t i = 0; i < shapes.size(); ++i) {
            INFO(shapes[i].name);
            check(result.gradients[i], answers().at(shapes[i].name));
        }
    }
}
