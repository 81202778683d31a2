// Models folded for prediction on the cuda backend, on the double of the device or on a real one.
#include <algorithm>
#include <array>
#include <limits>

#include "cuda/backend.hpp"
#include "divs/core/error.hpp"
#include "divs/nn/inference.hpp"
#include "model_helpers.hpp"
#include "plan.hpp"
#include "support/catch.hpp"

using namespace divs::nn;
using namespace divs::nn::test;

namespace {

std::shared_ptr<Backend> on_device(Precision precision) {
    BackendOptions options;
    options.precision = precision;
    return cuda::make_backend(options);
}

std::vector<ModelSpec> specs() {
    return {zoo_model("tiny", {4, 1, 24, 20}), zoo_model("tiny", {3, 2, 16, 16}), small_model("plain", 15),
            small_model("residual", 14, 3), small_model("inverted", 13)};
}

std::unique_ptr<Model> trained(const ModelSpec& spec, std::uint64_t seed = 3) {
    auto model = std::make_unique<Model>(spec, backend("reference"));
    model->initialise(seed);
    randomise_norms(*model, 5);
    return model;
}

}  // namespace

TEST_CASE("a folded model answers on cuda as the oracle does before, in float32 and bfloat16", "[cuda]") {
    for (const auto& [precision, bound] : {std::pair{Precision::float32, 1e-5}, {Precision::bfloat16, 0.03}})
        for (const ModelSpec& spec : specs()) {
            INFO(to_text(spec));
            const auto oracle = trained(spec);
            const Clips clips(spec, 3, 2);
            const auto predictor = make_predictor(*oracle, on_device(precision));
            CHECK(difference(predict(*predictor, clips.all()), predict(*oracle, clips.all())) < bound);
            CHECK_THROWS_AS(predictor->train_step(clips.all(), {}, nullptr), divs::Error);
        }
}

TEST_CASE("several predictors on one device answer for the same clips, each as its oracle", "[cuda]") {
    const ModelSpec spec = zoo_model("tiny", {4, 1, 24, 20});
    const Clips clips(spec, 3, 2);
    const std::array oracles{trained(spec, 3), trained(spec, 4)};
    const std::array expected{predict(*oracles[0], clips.all()), predict(*oracles[1], clips.all())};
    for (const auto& [precision, bound] :
         {std::pair{Precision::float32, 1e-5}, {Precision::bfloat16, 0.03}}) {
        REQUIRE(difference(expected[0], expected[1]) > 10 * bound);
        const auto device = on_device(precision);
        std::vector<std::unique_ptr<divs::Pixels>> waiting;
        std::vector<divs::Pixels*> pixels;
        for (std::size_t i = 0; i < clips.samples.size(); ++i) {
            waiting.push_back(device->pixel_memory()->allocate(clips.clip_bytes));
            std::ranges::copy(std::span(clips.pixels).subspan(i * clips.clip_bytes, clips.clip_bytes),
                              waiting.back()->host().begin());
            waiting.back()->filled();
            pixels.push_back(waiting.back().get());
        }
        const std::array predictors{make_predictor(*oracles[0], device), make_predictor(*oracles[1], device)};
        for (const std::size_t which : {0U, 1U, 0U, 1U})
            CHECK(difference(predict(*predictors[which], {.samples = clips.samples, .clip_pixels = pixels}),
                             expected[which]) < bound);
    }
}

TEST_CASE("a model that lies on the device is folded from there", "[cuda]") {
    const ModelSpec spec = small_model("residual", 14, 2);
    const auto oracle = trained(spec);
    Model model(spec, on_device(Precision::float32));
    model.backend().write(oracle->parameters().data(), model.parameters());
    model.backend().write(oracle->buffers().data(), model.buffers());
    const Clips clips(spec, 2, 3);
    const auto predictor = make_predictor(model, backend("reference"));
    CHECK(difference(predict(*predictor, clips.all()), predict(*oracle, clips.all())) < 5e-6);
}

TEST_CASE("a folded convolution still reads its input through a shift, but not in plain float32", "[cuda]") {
    const auto oracle = trained(zoo_model("tiny", {3, 2, 16, 16}));
    const ModelSpec spec = make_predictor(*oracle, backend("reference"))->spec();
    for (const Precision precision : {Precision::bfloat16, Precision::tf32, Precision::float32}) {
        const auto device = on_device(precision);
        ExecutionPlan plan(spec, *device, 2, false, std::vector<bool>(spec.nodes.size()), nullptr);
        int shifts = 0, sums = 0;
        for (std::size_t i = 0; i < spec.nodes.size(); ++i) {
            if (const auto* conv = std::get_if<Conv2d>(&spec.nodes[i].op)) sums += conv->residual;
            if (!std::holds_alternative<TemporalShift>(spec.nodes[i].op)) continue;
            ++shifts;
            CHECK((plan.nodes()[i].operation == nullptr) == (precision != Precision::float32));
        }
        CHECK(shifts == 3);
        CHECK(sums == 3);
    }
}

TEST_CASE("a shift may stand before a convolution that adds", "[cuda]") {
    const ModelSpec spec = parse_model(R"(
        x = conv out=8 kernel=3 pad=1
        shift divisor=4
        conv out=8 kernel=3 pad=1
        norm relu from=conv4,x
        adaptive_pool
        linear out=classes)",
                                       {3, 3, 9, 8});
    const auto oracle = trained(spec);
    const Clips clips(spec, 2, 4);
    for (const auto& on : {on_device(Precision::float32), backend("cpu"), backend("reference")}) {
        const auto predictor = make_predictor(*oracle, on);
        CHECK(difference(predict(*predictor, clips.all()), predict(*oracle, clips.all())) < 1e-5);
    }
}

TEST_CASE("a folded model on cuda names the convolution where its answer went wrong", "[cuda]") {
    const ModelSpec spec = small_model("inverted", 13);
    const auto model = trained(spec);
    for (const ParameterView& view : model->parameter_views())
        if (view.name == "conv6.weight")
            model->parameters()[view.offset + 4] = std::numeric_limits<float>::quiet_NaN();
    const auto predictor = make_predictor(*model, on_device(Precision::float32));
    predict(*predictor, Clips(spec, 2, 3).all());
    CHECK(predictor->first_not_finite() == "conv6");
}
