// Loss and optimisers against torch's numbers, and the rest of a backend that belongs to no operation.

#include "cpu/layout.hpp"
#include "divs/core/error.hpp"
#include "operation_cases.hpp"
#include "support/catch.hpp"
#include "update_cases.hpp"

using namespace divs;
using namespace divs::nn;
using namespace divs::nn::test;
using Catch::Matchers::ContainsSubstring;

namespace {

const std::vector<float> logits{0.5F,   -1.25F, 2.0F,  0.125F, 3.0F, 0.25F,
                                -0.75F, 1.5F,   -2.0F, 0.75F,  0.5F, -0.25F};
const std::vector<std::int32_t> labels{2, 1, 3};

struct Loss {
    LossSum sum;
    std::vector<float> gradient;
};

Loss loss_of(Backend& backend, const std::vector<float>& values, const std::vector<float>& weights,
             float smoothing, int block = 0) {
    const Shape shape{static_cast<int>(values.size()) / 4, 1, 1, 4};
    const TensorDesc desc = block ? cpu::make_desc(shape, block) : TensorDesc{shape, nullptr};
    const Tensor input = make_tensor(backend, desc, &values);
    Tensor gradient = make_tensor(backend, desc);
    Loss loss;
    loss.sum = backend.softmax_cross_entropy(input, labels, weights, smoothing, &gradient);
    loss.gradient = read(backend, gradient);
    return loss;
}

// Three steps on four parameters with gradients g, 2 g, 3 g, halved by the scale.
std::vector<float> three_steps(Backend& backend, UpdateSettings settings, std::size_t states) {
    std::vector<float> parameters{1.0F, -0.5F, 0.25F, 2.0F};
    std::vector<std::vector<float>> state(states, std::vector<float>(4));
    std::vector<std::span<float>> spans(state.begin(), state.end());
    settings.weight = 2;
    const std::vector<UpdateRange> ranges{{0, 4, true, false}};
    for (int step = 1; step <= 3; ++step) {
        std::vector<float> gradients{0.3F, -0.2F, 0.1F, 0.05F};
        for (float& g : gradients) g *= static_cast<float>(step);
        settings.step = step;
        backend.update(settings, ranges, parameters, gradients, spans);
    }
    return parameters;
}

}  // namespace

TEST_CASE("Softmax cross-entropy is torch's, with smoothing and class weights") {
    const std::vector<float> weights{0.5F, 2.0F, 1.25F, 3.0F};
    for (const char* name : {"reference", "cpu"}) {
        auto backend = make_backend(name, {});
        const auto plain = loss_of(*backend, logits, {}, 0);
        CHECK(plain.sum.loss == Approx(5.16104698).epsilon(1e-6));
        CHECK(plain.sum.weight == 3);
        CHECK(plain.sum.correct == 1);
        CHECK(plain.sum.first_not_finite == -1);
        const std::vector<float> expected{0.157660261F,  0.0273972414F, -0.293415725F, 0.108358197F,
                                          0.763023436F,  -0.951221526F, 0.0179445948F, 0.170253545F,
                                          0.0289186742F, 0.452364236F,  0.352301627F,  -0.833584487F};
        CHECK(relative_error(plain.gradient, expected) < 1e-6);
        CHECK(loss_of(*backend, logits, {}, 0.1F).sum.loss == Approx(5.25167179).epsilon(1e-6));
        const auto weighted = loss_of(*backend, logits, weights, 0);
        CHECK(weighted.sum.loss == Approx(11.8548775).epsilon(1e-6));
        CHECK(weighted.sum.weight == Approx(6.25));
        const auto both = loss_of(*backend, logits, weights, 0.2F);
        CHECK(both.sum.loss == Approx(11.5726299).epsilon(1e-6));
        const std::vector<float> slopes{0.185870588F,  -0.0633561909F, -0.117443547F,  -0.0050709201F,
                                        1.45335793F,   -1.60549176F,   -0.0277323481F, 0.179866239F,
                                        0.0541648753F, 1.13834715F,    0.901925743F,   -2.09443784F};
        CHECK(relative_error(both.gradient, slopes) < 1e-6);
    }
    auto cpu = make_backend("cpu", {});
    const auto blocked = loss_of(*cpu, logits, weights, 0.2F, 16);
    CHECK(blocked.sum.loss == Approx(11.5726299).epsilon(1e-6));
    CHECK(relative_error(blocked.gradient, loss_of(*cpu, logits, weights, 0.2F).gradient) == 0);
}

TEST_CASE("The loss names the first row that is not finite, and survives large logits") {
    auto backend = make_backend("cpu", {});
    auto broken = logits;
    broken[6] = poison();
    CHECK(loss_of(*backend, broken, {}, 0).sum.first_not_finite == 1);
    auto large = logits;
    for (float& v : large) v *= 1e4F;
    const auto loss = loss_of(*backend, large, {}, 0);
    CHECK(std::isfinite(loss.sum.loss));
    CHECK(loss.sum.first_not_finite == -1);
    const std::vector<std::int32_t> wrong{0, 4, 1};
    const Shape shape{3, 1, 1, 4};
    const Tensor input = make_tensor(*backend, {shape, nullptr}, &logits);
    CHECK_THROWS_WITH(backend->softmax_cross_entropy(input, wrong, {}, 0, nullptr),
                      ContainsSubstring("label 4") && ContainsSubstring("row 1"));
    CHECK_THROWS_AS(backend->softmax_cross_entropy(input, labels, std::vector<float>{1.0F}, 0, nullptr),
                    ConfigError);
}

TEST_CASE("Optimisers take torch's steps") {
    for (const char* name : {"reference", "cpu"}) {
        auto backend = make_backend(name, {});
        UpdateSettings sgd;
        sgd.weight_decay = 0.01F;
        CHECK(relative_error(three_steps(*backend, sgd, 1),
                             {0.851831794F, -0.40215537F, 0.201077685F, 1.96502912F}) < 1e-6);
        sgd.nesterov = true;
        CHECK(relative_error(three_steps(*backend, sgd, 1),
                             {0.773842573F, -0.350567549F, 0.175283775F, 1.94757605F}) < 1e-6);
        sgd.nesterov = false;
        sgd.momentum = 0;
        CHECK(relative_error(three_steps(*backend, sgd, 0),
                             {0.907063007F, -0.438541472F, 0.219270736F, 1.97901595F}) < 1e-6);
        UpdateSettings adamw;
        adamw.optimizer = Optimizer::adamw;
        adamw.weight_decay = 0.05F;
        CHECK(relative_error(three_steps(*backend, adamw, 2),
                             {0.694236696F, -0.201699227F, -0.0445694774F, 1.67931175F}) < 1e-5);
    }
}

TEST_CASE("Updates keep to their ranges, and agree between backends on a large arena") {
    const std::size_t n = 100'003;
    const auto start = random_values(n, 1, 0), gradients = random_values(n, 1, 1);
    const std::vector<UpdateRange> ranges{{0, 17, true, false},
                                          {17, 40'000, false, false},
                                          {40'000, 50'000, true, true},
                                          {50'016, n, true, false}};
    for (Optimizer optimizer : {Optimizer::sgd, Optimizer::adamw}) {
        UpdateSettings settings;
        settings.optimizer = optimizer;
        settings.weight_decay = 0.1F;
        settings.step = 3;
        std::vector<std::vector<float>> results;
        for (const char* name : {"reference", "cpu"}) {
            auto backend = make_backend(name, {2, false});
            auto parameters = start, first = random_values(n, 1, 2), second = random_values(n, 1, 3);
            for (float& v : second) v = std::abs(v);
            const std::vector<std::span<float>> state{first, second};
            backend->update(settings, ranges, parameters, gradients,
                            std::span(state).first(optimizer == Optimizer::sgd ? 1 : 2));
            for (std::size_t i = 40'000; i < 50'016; ++i)
                if (parameters[i] != start[i]) FAIL("a frozen element moved");
            CHECK(parameters[16] != start[16]);
            CHECK(parameters[n - 1] != start[n - 1]);
            results.push_back(std::move(parameters));
        }
        CHECK(relative_error(results[1], results[0]) < 1e-6);
    }
}

TEST_CASE("An update clips by its norm, and without a finite norm, or a sample, changes nothing") {
    for (const char* name : {"reference", "cpu"})
        for (const std::size_t size : {std::size_t{7}, std::size_t{70'001}})
            check_updates_by_norm(*make_backend(name, {2, false}), size, 9);
}

TEST_CASE("Accumulate, and values at the edges") {
    const Shape shape{2, 5, 7, 13};
    const auto a = random_values(shape.size(), 9, 1), b = random_values(shape.size(), 9, 2);
    for (const char* name : {"reference", "cpu"}) {
        auto backend = make_backend(name, {2, false});
        for (const Op& op : {Op{conv(8, 3)}, Op{BatchNorm{}}}) {
            const TensorDesc desc = backend->input_desc(shape, op);
            const Tensor source = make_tensor(*backend, desc, &a);
            Tensor target = make_tensor(*backend, desc, &b);
            CHECK(read(*backend, source) == a);
            backend->accumulate(source, target);
            const auto sum = read(*backend, target);
            for (std::size_t i = 0; i < a.size(); ++i)
                if (sum[i] != a[i] + b[i]) FAIL("element " << i);
        }
    }
}

TEST_CASE("Pixels become normalised values in every layout") {
    const Shape shape{2, 5, 4, 3};
    std::vector<std::uint8_t> pixels(shape.size());
    for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>(i * 37 + 11);
    const float mean[3] = {0.485F, 0.456F, 0.406F}, deviation[3] = {0.229F, 0.224F, 0.225F};
    std::vector<float> expected(pixels.size());
    for (std::size_t i = 0; i < pixels.size(); ++i)
        expected[i] = (static_cast<float>(pixels[i]) / 255.0F - mean[i % 3]) / deviation[i % 3];
    auto oracle = make_backend("reference", {});
    Tensor plain = make_tensor(*oracle, {shape, nullptr});
    oracle->upload_pixels(pixels.data(), mean, deviation, plain);
    CHECK(relative_error(read(*oracle, plain), expected) < 1e-6);
    auto backend = make_backend("cpu", {2, false});
    for (int block : {1, 3, 8, 16}) {
        Tensor tensor = make_tensor(*backend, cpu::make_desc(shape, block));
        backend->upload_pixels(pixels.data(), mean, deviation, tensor);
        CHECK(read(*backend, tensor) == read(*oracle, plain));
        for (std::size_t i = 0; i < backend->bytes(tensor.desc) / sizeof(float); ++i)
            if (tensor.data()[i] != tensor.data()[i]) FAIL("padding is not written at " << i);
    }
}

TEST_CASE("Storage is zeroed and aligned") {
    for (const char* name : {"reference", "cpu"})
        for (std::size_t bytes : {std::size_t{0}, std::size_t{4}, std::size_t{1000}, std::size_t{5} << 20}) {
            auto storage = make_backend(name, {})->allocate(bytes);
            CHECK(storage->bytes() == bytes);
            CHECK(reinterpret_cast<std::uintptr_t>(storage->data()) % 64 == 0);
            for (std::size_t i = 0; i < bytes / sizeof(float); ++i)
                if (storage->data()[i] != 0) FAIL("not zero at " << i);
        }
}

TEST_CASE("Dropout keeps the share it should, and other samples keep others") {
    auto backend = make_backend("cpu", {});
    const OperationCase c{"", Dropout{0.3F, 0}, {{2, 16, 16, 64}}};
    OperationData data = fresh_data(c, 1);
    std::fill(data.inputs[0].begin(), data.inputs[0].end(), 1.0F);
    const auto result = run_operation(*backend, c, data);
    double kept = 0, equal = 0;
    const std::size_t row = result.output.size() / 2;
    for (std::size_t i = 0; i < row; ++i) {
        kept += result.output[i] != 0;
        equal += (result.output[i] != 0) == (result.output[row + i] != 0);
    }
    CHECK(kept / static_cast<double>(row) == Approx(0.7).margin(0.015));
    CHECK(equal / static_cast<double>(row) == Approx(0.58).margin(0.02));  // 0.7^2 + 0.3^2
    // The same sample in another place of another batch keeps the same elements.
    OperationData swapped = data;
    std::swap(swapped.samples[0], swapped.samples[1]);
    const auto other = run_operation(*backend, c, swapped);
    CHECK(std::equal(other.output.begin(), other.output.begin() + static_cast<std::ptrdiff_t>(row),
                     result.output.begin() + static_cast<std::ptrdiff_t>(row)));
}
