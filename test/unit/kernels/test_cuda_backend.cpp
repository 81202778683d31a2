// What belongs to no operation of the cuda backend, on the double of the device or on a real one: edges,
// loss, optimisers, the copies of the weights, synchronised norms.
#include <functional>
#include <limits>

#include "cuda/backend.hpp"
#include "cuda/weights.hpp"
#include "device_values.hpp"
#include "divs/core/error.hpp"
#include "kernels/vector.hpp"
#include "operation_cases.hpp"
#include "support/catch.hpp"
#include "unit/kernels/orders.hpp"
#include "update_cases.hpp"

using namespace divs;
using namespace divs::nn;
using namespace divs::nn::test;
using divs::test::in_all_orders;
using divs::test::run_seed;

namespace {

std::unique_ptr<Backend> device_backend(Precision precision = Precision::float32) {
    BackendOptions options;
    options.precision = precision;
    return cuda::make_backend(options);
}

struct Loss {
    LossSum sum;
    std::vector<float> gradient;
};

Loss loss_of(Backend& backend, const std::vector<float>& values, int classes,
             const std::vector<std::int32_t>& labels, const std::vector<float>& weights, float smoothing) {
    const Shape shape{static_cast<int>(labels.size()), 1, 1, classes};
    const TensorDesc desc = backend.input_desc(shape, Op{Activate{}});
    const Tensor logits = make_tensor(backend, desc, &values);
    Tensor gradient = make_tensor(backend, desc);
    Loss loss;
    loss.sum = backend.softmax_cross_entropy(logits, labels, weights, smoothing, &gradient);
    loss.gradient = read(backend, gradient);
    return loss;
}

// Sums with itself so many times, as if that many ranks had the same values.
struct Copies final : Reducer {
    explicit Copies(double n) : copies(n) {}
    void sum(std::span<double> values) override {
        for (double& v : values) v *= copies;
        lengths.push_back(values.size());
    }
    double copies;
    std::vector<std::size_t> lengths;
};

}  // namespace

TEST_CASE("cuda: pixels are normalised, and floats come and go in every width", "[cuda]") {
    const float mean[3] = {0.485F, 0.456F, 0.406F}, deviation[3] = {0.229F, 0.224F, 0.225F};
    in_all_orders([&] {
        for (const Shape& shape : {Shape{2, 5, 7, 3}, Shape{1, 1, 1, 3}, Shape{3, 16, 16, 3}}) {
            auto backend = device_backend();
            auto oracle = make_backend("reference", {});
            const Random random(run_seed(), Stream::test);
            std::vector<std::uint8_t> pixels(shape.size());
            for (std::size_t i = 0; i < pixels.size(); ++i)
                pixels[i] = static_cast<std::uint8_t>(random.below(i, 256));
            Tensor device = make_tensor(*backend, backend->input_desc(shape, Op{Activate{}}));
            Tensor host = make_tensor(*oracle, {shape, nullptr});
            for (int again = 0; again < 3; ++again)
                backend->upload_pixels(pixels.data(), mean, deviation, device);
            oracle->upload_pixels(pixels.data(), mean, deviation, host);
            CHECK(relative_error(read(*backend, device), read(*oracle, host)) < 1e-6);
        }
        for (const int channels : {1, 3, 8, 13, 64}) {
            auto backend = device_backend();
            const Shape shape{2, 3, 2, channels};
            const auto values = random_values(shape.size(), run_seed(), 1);
            const Tensor tensor = make_tensor(*backend, backend->input_desc(shape, Op{Activate{}}), &values);
            CHECK(read(*backend, tensor) == values);
            const Tensor plain = make_tensor(*backend, {shape, nullptr}, &values);
            CHECK(read(*backend, plain) == values);
        }
    });
}

TEST_CASE("cuda: softmax cross-entropy is the oracle's", "[cuda]") {
    auto oracle = make_backend("reference", {});
    in_all_orders([&] {
        for (const int classes : {2, 5, 33, 200})
            for (const int rows : {1, 7, 130}) {
                auto backend = device_backend();
                const auto values =
                    random_values(static_cast<std::size_t>(rows * classes), run_seed(), 5, 0, 3);
                std::vector<std::int32_t> labels;
                for (int i = 0; i < rows; ++i) labels.push_back((i * 7 + 1) % classes);
                std::vector<float> weights;
                for (int k = 0; k < classes; ++k) weights.push_back(static_cast<float>(k % 3) * 0.75F);
                for (const bool weighted : {false, true}) {
                    const auto& w = weighted ? weights : std::vector<float>{};
                    const Loss a = loss_of(*backend, values, classes, labels, w, 0.1F);
                    const Loss b = loss_of(*oracle, values, classes, labels, w, 0.1F);
                    CHECK(a.sum.loss == Approx(b.sum.loss).epsilon(1e-12));
                    CHECK(a.sum.weight == Approx(b.sum.weight));
                    CHECK(a.sum.correct == b.sum.correct);
                    CHECK(a.sum.first_not_finite == -1);
                    CHECK(relative_error(a.gradient, b.gradient) < 1e-6);
                }
            }
    });
}

TEST_CASE("cuda: a loss that is not finite names its first row, and a bad label or weight is refused", "[cuda]") {
    auto backend = device_backend();
    auto values = random_values(12 * 4, 1, 1);
    values[5 * 4 + 2] = std::numeric_limits<float>::quiet_NaN();
    values[9 * 4] = std::numeric_limits<float>::infinity();
    const std::vector<std::int32_t> labels(12, 1);
    const Loss loss = loss_of(*backend, values, 4, labels, {}, 0);
    CHECK(loss.sum.first_not_finite == 5);
    CHECK_FALSE(std::isfinite(loss.sum.loss));
    CHECK_THROWS_AS(loss_of(*backend, values, 4, std::vector<std::int32_t>(12, 4), {}, 0), ConfigError);
    CHECK_THROWS_AS(loss_of(*backend, values, 4, labels, {1, 2}, 0), ConfigError);
}

TEST_CASE("cuda: a step's sums are brought together on the device, and its update goes by what they are then",
          "[cuda]") {
    in_all_orders([&] {
        auto backend = device_backend();
        const std::vector<float> weights{1, 2, 0.5F};
        const auto values = random_values(4 * 3, run_seed(), 1);
        const LossSum mine = loss_of(*backend, values, 3, {2, 0, 1, 1}, weights, 0.1F).sum;
        const std::vector<double> more{4, 1};
        const std::span<double> sums = backend->queue_sums(true, more);
        REQUIRE(sums.size() == DeviceSums::more + more.size());

        constexpr std::size_t size = 48;
        const std::vector<UpdateRange> ranges{{0, size, true, false}};
        const std::vector<std::vector<float>> start{random_values(size, run_seed(), 2),
                                                    random_values(size, run_seed(), 3)};
        const Arrays gradients(*backend, {random_values(size, run_seed(), 4)});
        UpdateSettings settings;
        const auto updated = [&] {
            const Arrays arrays(*backend, start);
            backend->update(settings, ranges, arrays.spans()[0], gradients.spans()[0],
                            std::span(arrays.spans()).last(1));
            return arrays.read();
        };
        settings.weight = mine.weight;
        const auto expected = updated();
        settings.weight = 1e9;  // not asked for
        settings.weight_is_queued = true;
        CHECK(updated() == expected);
        Backend::Summed summed = backend->summed();
        CHECK(summed.first_not_finite == -1);
        CHECK(summed.sums[DeviceSums::loss] == Approx(mine.loss));
        CHECK(summed.sums[DeviceSums::weight] == mine.weight);
        CHECK(summed.sums[DeviceSums::correct] == static_cast<double>(mine.correct));
        CHECK(summed.sums[DeviceSums::not_finite] == 0);
        for (std::size_t i = 0; i < more.size(); ++i) CHECK(summed.sums[DeviceSums::more + i] == more[i]);

        // Gradients may be finite all the same.
        std::vector<float> bad = values;
        bad[2 * 3 + 1] = -std::numeric_limits<float>::infinity();
        loss_of(*backend, bad, 3, {2, 0, 1, 1}, weights, 0.1F);
        backend->queue_sums(true, more);
        CHECK(updated() == start);
        summed = backend->summed();
        CHECK(summed.first_not_finite == 2);
        CHECK(summed.sums[DeviceSums::not_finite] == 1);
        CHECK(summed.sums[DeviceSums::loss] == 0);

        backend->queue_sums(false, more);  // no batch here, and none anywhere
        CHECK(updated() == start);
        CHECK(backend->summed().sums[DeviceSums::more] == more[0]);
        CHECK(backend->summed().first_not_finite == -1);
    });
}

TEST_CASE("cuda: optimisers step as the oracle's, decay and freeze by range", "[cuda]") {
    // The last range is frozen.
    constexpr std::size_t size = 160;
    const std::vector<UpdateRange> ranges{
        {0, 16, false, false}, {16, 96, true, false}, {96, 112, false, false}, {112, 160, true, true}};
    auto oracle = make_backend("reference", {});
    in_all_orders([&] {
        for (const Precision precision : {Precision::float32, Precision::bfloat16})
            for (const auto& [optimizer, momentum, nesterov, states] :
                 {std::tuple{Optimizer::sgd, 0.9F, false, 1}, std::tuple{Optimizer::sgd, 0.9F, true, 1},
                  std::tuple{Optimizer::sgd, 0.0F, false, 0}, std::tuple{Optimizer::adamw, 0.0F, false, 2}}) {
                auto backend = device_backend(precision);
                std::vector<std::vector<float>> start{random_values(size, run_seed(), 1)};
                for (int i = 0; i < states; ++i) start.emplace_back(size, 0.0F);
                const Arrays device(*backend, start), host(*oracle, start);
                UpdateSettings settings;
                settings.optimizer = optimizer;
                settings.learning_rate = 0.01F;
                settings.weight_decay = 0.1F;
                settings.weight = 4;
                settings.momentum = momentum;
                settings.nesterov = nesterov;
                for (int step = 1; step <= 3; ++step) {
                    settings.step = step;
                    const std::vector<std::vector<float>> gradient{
                        random_values(size, run_seed(), static_cast<std::uint64_t>(10 + step))};
                    const Arrays g(*backend, gradient), h(*oracle, gradient);
                    const std::span device_state(device.spans().data() + 1, device.spans().size() - 1),
                        host_state(host.spans().data() + 1, host.spans().size() - 1);
                    backend->update(settings, ranges, device.spans()[0], g.spans()[0], device_state);
                    oracle->update(settings, ranges, host.spans()[0], h.spans()[0], host_state);
                }
                const auto a = device.read(), b = host.read();
                for (std::size_t i = 0; i < a.size(); ++i) CHECK(relative_error(a[i], b[i]) < 2e-6);
                for (std::size_t i = 112; i < size; ++i) CHECK(a[0][i] == start[0][i]);
            }
    });
}

TEST_CASE("cuda: an update clips by its norm, and without a finite norm, or a sample, changes nothing",
          "[cuda]") {
    in_all_orders([&] {
        for (const std::size_t size : {std::size_t{16}, std::size_t{9008}})
            check_updates_by_norm(*device_backend(), size, run_seed());
    });
}

TEST_CASE("cuda: copies of weights follow the optimiser and what is written by hand", "[cuda]") {
    using kernels::bf16;
    const cuda::Device device(0);
    cuda::Weights weights(device, cuda::DType::bf16);
    constexpr int out = 6, in = 3, taps = 4;
    constexpr std::size_t size = 96, at = 16, weight = out * in * taps;
    kernels::test::DeviceValues<float> arena(random_values(size, run_seed(), 1)),
        gradients(random_values(size, run_seed(), 2));
    const std::vector<UpdateRange> ranges{{0, size, true, false}};
    const std::span<float> master = arena.span().subspan(at, weight);
    const auto filters = cuda::filter_form(out, in, taps, 8),
               channels = cuda::channel_form(out, in, taps, 1, 8);
    const auto* first = static_cast<const bf16*>(weights.copy(master, filters));
    const auto* second = static_cast<const bf16*>(weights.copy(master, channels));

    auto check = [&] {
        const auto values = arena.read();
        const auto first_read = kernels::test::read_device(first, filters.size),
                   second_read = kernels::test::read_device(second, channels.size);
        std::vector<float> expected_first(filters.size, 0.0F), expected_second(channels.size, 0.0F);
        for (std::size_t o = 0; o < out; ++o)
            for (std::size_t i = 0; i < in; ++i)
                for (std::size_t t = 0; t < taps; ++t) {
                    const float v =
                        __bfloat162float(__float2bfloat16_rn(values[at + (o * in + i) * taps + t]));
                    expected_first[(o * taps + t) * 8 + i] = v;
                    expected_second[(i * taps + t) * 8 + o] = v;
                }
        for (std::size_t e = 0; e < filters.size; ++e)
            CHECK(__bfloat162float(first_read[e]) == expected_first[e]);
        for (std::size_t e = 0; e < channels.size; ++e)
            CHECK(__bfloat162float(second_read[e]) == expected_second[e]);
    };
    check();
    const kernels::test::DeviceValues<kernels::GradientScale> scale({{0, 1}});
    kernels::sgd({0.1F, 0.01F, 0, false}, scale.data(),
                 weights.arena<bf16>(arena.span(), gradients.span(), ranges), nullptr, device.stream());
    check();
    auto change = [&](auto&& how) {
        auto values = arena.read();
        for (float& v : values) v = how(v);
        arena.write(values);
    };
    change([](float v) { return v + 1; });
    weights.touched(arena.span().subspan(at + 3, 2));
    weights.refresh();
    check();
    change([](float v) { return 2 * v; });
    weights.touched(arena.span());
    CHECK(weights.copy(master, filters) == first);  // asked for, it is brought up to date, where it was
    check();
}

TEST_CASE("cuda: grouped weights lie as their convolutions read them", "[cuda]") {
    constexpr int out = 6, in = 2, taps = 9, groups = 3, pitch = 2;  // six channels in, in groups of two
    const auto form = cuda::channel_form(out, in, taps, groups, pitch);
    CHECK(form.size == 6 * 9 * 2);
    for (unsigned o = 0; o < out; ++o)
        for (unsigned i = 0; i < in; ++i)
            for (unsigned t = 0; t < taps; ++t) {
                const unsigned channel = o / 2 * 2 + i;
                CHECK(form.place((o * in + i) * taps + t) == (channel * taps + t) * pitch + o % 2);
            }
}

TEST_CASE("cuda: norms over all ranks reduce what the oracle reduces, empty ranks too", "[cuda]") {
    for (const auto& c : all_cases()) {
        if (!std::holds_alternative<BatchNorm>(c.op)) continue;
        INFO(c.name);
        const auto data = fresh_data(c, run_seed());
        Copies on_device(3), on_host(3);
        auto backend = device_backend();
        auto oracle = make_backend("reference", {});
        RunOptions options;
        options.plan.reducer = &on_host;
        const auto expected = run_operation(*oracle, c, data, options);
        options.plan.reducer = &on_device;
        for (const Shape& s : c.inputs) options.inputs.push_back(backend->input_desc(s, c.op));
        const auto actual = run_operation(*backend, c, data, options);
        CHECK(relative_error(actual.output, expected.output) < 5e-6);
        for (std::size_t i = 0; i < expected.buffers.size(); ++i)
            CHECK(relative_error(actual.buffers[i], expected.buffers[i]) < 5e-6);
        CHECK(on_device.lengths == on_host.lengths);

        const auto operation = backend->plan(c.op, options.inputs, options.plan);
        const Arrays values(*backend, data.values), buffers(*backend, data.buffers);
        on_device.lengths.clear();
        operation->forward_empty({values.spans(), {}, buffers.spans()});
        operation->backward_empty({values.spans(), {}, buffers.spans()});
        CHECK(on_device.lengths == on_host.lengths);
        CHECK(buffers.read() == data.buffers);  // nobody had data
    }
}
