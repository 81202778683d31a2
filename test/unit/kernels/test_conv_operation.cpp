// Convolutions, linear layers and LSTMs (which are made of those) as the backend plans them, on the double of
// a GPU, against the oracle.
#include "conv_data.hpp"
#include "cuda/convolution.hpp"
#include "cuda/operation.hpp"
#include "device_double.hpp"
#include "operation_cases.hpp"
#include "support/catch.hpp"

using namespace divs::nn;
namespace nn_test = divs::nn::test;

namespace {

// A part of the backend: what convolutions need of it.
struct Bench {
    explicit Bench(const BackendOptions& given) : options(given), device(0), step(device) {
        options.conv = ConvChoice::divs;
        options.deterministic = true;  // takes the first algorithm that is right, without measuring
    }
    BackendOptions options;
    cuda::Device device;
    cuda::Weights weights{device,
                          options.precision == Precision::bfloat16 ? cuda::DType::bf16 : cuda::DType::f32};
    cuda::StepData step;
    cuda::Context context{device, options, weights, step};
};

template <class T>
Tensor tensor_of(Bench& bench, const Shape& shape, const std::vector<float>& values, cuda::DType type) {
    Tensor t{cuda::make_desc(shape, type), nullptr};
    t.storage = cuda::allocate_storage(bench.device, cuda::view_of(t.desc).bytes());
    const auto padded = divs::kernels::test::padded<T>(values, shape.c);
    std::memcpy(t.data(), padded.data(), padded.size() * sizeof(T));
    return t;
}
template <class T>
std::vector<T> values_of(const Tensor& t) {
    const T* begin = reinterpret_cast<const T*>(t.data());
    return {begin, begin + cuda::view_of(t.desc).size()};
}

template <class T>
void check(const nn_test::OperationCase& c, Precision precision, double bound) {
    INFO(c.name);
    const auto data = nn_test::fresh_data(c, 21);
    const auto oracle = make_backend("reference", {});
    const auto expected = nn_test::run_operation(*oracle, c, data);
    BackendOptions options;
    options.precision = precision;
    Bench bench(options);
    const cuda::DType type = bench.context.type();
    const auto operation = std::visit(
        [&](const auto& op) -> std::unique_ptr<Operation> {
            if constexpr (std::is_same_v<std::decay_t<decltype(op)>, Conv2d> ||
                          std::is_same_v<std::decay_t<decltype(op)>, Linear> ||
                          std::is_same_v<std::decay_t<decltype(op)>, Lstm>)
                return cuda::plan(op, {cuda::make_desc(c.inputs[0], type)}, {}, bench.context);
            return nullptr;
        },
        c.op);
    REQUIRE(operation);
    const Shape out = operation->output().shape;
    auto values = data.values;
    std::vector<std::vector<float>> gradients;
    for (const auto& v : values) gradients.emplace_back(v.size(), nn_test::poison());
    Parameters parameters;
    for (auto& v : values) parameters.values.emplace_back(v);
    for (auto& v : gradients) parameters.gradients.emplace_back(v);
    const std::vector<float> poison_in(c.inputs[0].size(), nn_test::poison()),
        poison_out(out.size(), nn_test::poison());
    Tensor x = tensor_of<T>(bench, c.inputs[0], data.inputs[0], type),
           y = tensor_of<T>(bench, out, poison_out, type);
    Tensor dy = tensor_of<T>(bench, out, data.output_gradient, type);
    Tensor dx = tensor_of<T>(bench, c.inputs[0], poison_in, type);
    const auto workspace = cuda::allocate_storage(bench.device, operation->workspace_bytes());
    const Tensor* inputs[] = {&x};
    Tensor* input_gradients[] = {&dx};
    operation->forward(inputs, y, parameters, {}, workspace->data());
    operation->backward(inputs, y, dy, input_gradients, parameters, {}, workspace->data());
    using divs::kernels::test::tensor_error;
    using divs::kernels::test::value_error;
    CHECK(tensor_error(values_of<T>(y), expected.output, out.c) < bound);
    CHECK(tensor_error(values_of<T>(dx), expected.input_gradients[0], c.inputs[0].c) < bound);
    for (std::size_t i = 0; i < gradients.size(); ++i)
        CHECK(value_error(gradients[i], expected.gradients[i]) < bound);
}

// A folded convolution, which only goes forward.
template <class T>
void check_folded(const nn_test::OperationCase& c, Precision precision, double bound) {
    INFO(c.name);
    nn_test::RunOptions predicting;
    predicting.plan.training = predicting.backward = false;
    auto data = nn_test::fresh_data(c, 22);
    const auto oracle = make_backend("reference", {});
    const auto expected = nn_test::run_operation(*oracle, c, data, predicting).output;
    BackendOptions options;
    options.precision = precision;
    Bench bench(options);
    const cuda::DType type = bench.context.type();
    std::vector<TensorDesc> descs;
    std::vector<Tensor> tensors;
    for (std::size_t i = 0; i < c.inputs.size(); ++i) {
        descs.push_back(cuda::make_desc(c.inputs[i], type));
        tensors.push_back(tensor_of<T>(bench, c.inputs[i], data.inputs[i], type));
    }
    const auto& op = std::get<Conv2d>(c.op);
    CHECK_THROWS(cuda::plan(op, descs, PlanOptions{}, bench.context));
    const auto operation = cuda::plan(op, descs, predicting.plan, bench.context);
    const Shape out = operation->output().shape;
    Parameters parameters;
    for (auto& v : data.values) parameters.values.emplace_back(v);
    Tensor y = tensor_of<T>(bench, out, std::vector<float>(out.size(), nn_test::poison()), type);
    const auto workspace = cuda::allocate_storage(bench.device, operation->workspace_bytes());
    std::vector<const Tensor*> inputs;
    for (const Tensor& t : tensors) inputs.push_back(&t);
    operation->forward(inputs, y, parameters, {}, workspace->data());
    CHECK(divs::kernels::test::tensor_error(values_of<T>(y), expected, out.c) < bound);
}

}  // namespace

TEST_CASE("the backend's folded convolutions agree with the oracle") {
    int cases = 0;
    for (const nn_test::OperationCase& c : nn_test::folded_cases()) {
        if (c.inputs[0].size() > 3000) continue;  // too slow thread by thread
        ++cases;
        check_folded<float>(c, Precision::float32, 2e-5);
        check_folded<float>(c, Precision::tf32, 2e-3);
        check_folded<divs::kernels::bf16>(c, Precision::bfloat16, 1e-2);
    }
    CHECK(cases > 20);
}

TEST_CASE("the backend's convolutions, linear layers and LSTMs agree with the oracle") {
    int cases = 0;
    for (const nn_test::OperationCase& c : nn_test::all_cases()) {
        if (!std::holds_alternative<Conv2d>(c.op) && !std::holds_alternative<Linear>(c.op) &&
            !std::holds_alternative<Lstm>(c.op))
            continue;
        if (c.inputs[0].size() > 12000) continue;  // too slow thread by thread
        ++cases;
        check<float>(c, Precision::float32, 2e-5);
        check<float>(c, Precision::tf32, 2e-3);
        check<divs::kernels::bf16>(c, Precision::bfloat16, 1e-2);
    }
    CHECK(cases > 5);
}
