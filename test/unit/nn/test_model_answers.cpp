// What torchvision's models give for the same weights and pixels; both are hashes of (name, element), see
// bench/peers/known_answers.py.
#include <cmath>
#include <numeric>

#include "hashed_numbers.hpp"
#include "model_helpers.hpp"
#include "support/catch.hpp"

using namespace divs::nn;
using divs::nn::test::hash;
using divs::nn::test::name_hash;

namespace {

struct Answer {
    const char* name;
    int size, clips, frames;
    std::vector<double> logits;     // evaluation mode, (clips, 10)
    double loss, gradient_squares;  // training mode, label smoothing 0.1, sum over clips
    std::vector<std::pair<std::string, double>> squares;  // of some gradients
    std::vector<std::pair<std::string, double>> sums;     // of some running statistics after one step
};

const std::vector<Answer>& answers() {
    static const std::vector<Answer> all{
#include "torchvision_answers.inc"
    };
    return all;
}

void fill(const std::vector<ParameterView>& views, std::span<float> arena) {
    for (const ParameterView& view : views) {
        double scale = 0.2, centre = 0;
        if (view.dims.size() == 4) scale = 2 * std::sqrt(6.0 / (view.dims[1] * view.dims[2] * view.dims[3]));
        if (view.dims.size() == 2) scale = 2 * std::sqrt(3.0 / view.dims[1]);
        if (view.name.ends_with("running_var")) centre = 1, scale = 0.5;
        if (view.dims.size() == 1 && view.name.ends_with("weight")) centre = 1, scale = 0.4;
        const std::uint32_t seed = name_hash(view.name);
        for (std::size_t i = 0; i < view.size; ++i)
            arena[view.offset + i] = static_cast<float>(
                centre + scale * (hash(static_cast<std::uint32_t>(i), seed) * 0x1p-32 - 0.5));
    }
}

struct Case {
    Model model;
    std::vector<std::uint8_t> pixels;
    std::vector<std::int32_t> labels;
    std::vector<std::uint64_t> samples;

    Case(const Answer& answer, std::string_view backend) : model(spec(answer), test::backend(backend)) {
        fill(model.parameter_views(), model.parameters());
        fill(model.buffer_views(), model.buffers());
        pixels.resize(static_cast<std::size_t>(answer.clips * answer.frames * answer.size * answer.size * 3));
        for (std::size_t i = 0; i < pixels.size(); ++i)
            pixels[i] =
                static_cast<std::uint8_t>(hash(static_cast<std::uint32_t>(i), name_hash("pixels")) >> 24);
        for (int i = 0; i < answer.clips; ++i) {
            labels.push_back(i * 3 + 1);
            samples.push_back(static_cast<std::uint64_t>(i));
        }
    }
    static ModelSpec spec(const Answer& answer) {
        ModelSpec spec = zoo_model(answer.name, {10, answer.frames, answer.size, answer.size});
        for (Node& node : spec.nodes)
            if (auto* dropout = std::get_if<Dropout>(&node.op)) dropout->rate = 0;
        return spec;
    }
    Batch batch() const { return {pixels, labels, samples, 0, 0}; }
};

double squares(const Model& model, std::span<const float> arena, const std::string& name) {
    for (const ParameterView& view : model.parameter_views())
        if (view.name == name)
            return std::accumulate(
                arena.begin() + static_cast<std::ptrdiff_t>(view.offset),
                arena.begin() + static_cast<std::ptrdiff_t>(view.offset + view.size), 0.0,
                [](double s, float v) { return s + static_cast<double>(v) * static_cast<double>(v); });
    FAIL("no parameter " << name);
    return 0;
}

void check_logits(const Answer& answer, std::string_view backend) {
    INFO(answer.name << " on " << backend);
    Case c(answer, backend);
    const std::vector<float> logits = test::predict(c.model, c.batch());
    REQUIRE(logits.size() == answer.logits.size());
    double scale = 0;
    for (const double v : answer.logits) scale = std::max(scale, std::abs(v));
    for (std::size_t i = 0; i < logits.size(); ++i)
        CHECK(static_cast<double>(logits[i]) == Approx(answer.logits[i]).margin(1e-4 * scale).epsilon(0));
}

void check_step(const Answer& answer, std::string_view backend) {
    INFO(answer.name << " on " << backend);
    Case c(answer, backend);
    const LossSum sum = c.model.train_step(c.batch(), {0.1F, {}}, nullptr);
    CHECK(sum.loss == Approx(answer.loss).epsilon(1e-4));
    CHECK(sum.weight == answer.clips);
    // Fifty norms over a few elements each amplify the rounding of float.
    const double tolerance = std::string_view(answer.name) == "resnet50" ? 1e-2 : 1e-3;
    double total = 0;
    for (const float g : c.model.gradients()) total += static_cast<double>(g) * static_cast<double>(g);
    CHECK(std::sqrt(total) == Approx(std::sqrt(answer.gradient_squares)).epsilon(tolerance));
    for (const auto& [name, value] : answer.squares) {
        INFO(name);
        CHECK(std::sqrt(squares(c.model, c.model.gradients(), name)) ==
              Approx(std::sqrt(value)).epsilon(2 * tolerance).margin(1e-5 * std::sqrt(total)));
    }
    for (const auto& [name, value] : answer.sums)
        for (const ParameterView& view : c.model.buffer_views()) {
            if (view.name != name) continue;
            const auto values = c.model.buffers().subspan(view.offset, view.size);
            INFO(name);
            CHECK(std::accumulate(values.begin(), values.end(), 0.0) ==
                  Approx(value).epsilon(1e-4).margin(1e-3));
        }
}

}  // namespace

TEST_CASE("logits are torchvision's on the CPU backend") {
    for (const Answer& answer : answers()) check_logits(answer, "cpu");
}

TEST_CASE("one training step gives torch's loss, gradients and running statistics on the CPU backend") {
    for (const Answer& answer : answers()) check_step(answer, "cpu");
}

TEST_CASE("the oracle gives torch's training step too") {
    check_step(answers()[2], "reference");
}
