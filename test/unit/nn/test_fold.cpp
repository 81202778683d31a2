// Models folded for prediction answer as they did before.
#include <algorithm>
#include <limits>

#include "divs/core/error.hpp"
#include "divs/nn/builder.hpp"
#include "divs/nn/inference.hpp"
#include "model_helpers.hpp"
#include "support/catch.hpp"

using namespace divs::nn;
using namespace divs::nn::test;
using Catch::Matchers::ContainsSubstring;

namespace {

template <class T>
std::ptrdiff_t count(const ModelSpec& spec) {
    return std::count_if(spec.nodes.begin(), spec.nodes.end(),
                         [](const Node& node) { return std::holds_alternative<T>(node.op); });
}

Model trained(const ModelSpec& spec, std::string_view on, std::uint64_t seed = 3) {
    Model model(spec, backend(on));
    model.initialise(seed);
    randomise_norms(model, seed);
    return model;
}

ModelSpec folded_spec(const ModelSpec& spec) {
    return make_predictor(*std::make_unique<Model>(trained(spec, "reference")), backend("reference"))->spec();
}

// As it was trained and folded, there also with two threads.
void check_same_answers(const ModelSpec& spec, std::string_view on, int clips, double bound = 5e-6) {
    INFO(spec.architecture << " on " << on << '\n' << to_text(spec));
    Model model = trained(spec, on);
    const Clips data(spec, clips, 6);
    const std::vector<float> expected = predict(model, data.all());
    for (const int threads : {1, 2}) {
        if (threads > 1 && on == "reference") continue;
        const auto predictor = make_predictor(model, backend(on, threads));
        CHECK(difference(predict(*predictor, data.all()), expected) < bound);
        CHECK(predictor->first_not_finite().empty());
    }
}

// Convolutions of every kind with and without norms, activations and additions, some read twice.
ModelSpec random_model(std::uint64_t seed) {
    const divs::Random random(seed, divs::Stream::test);
    std::uint64_t drawn = 0;
    const auto below = [&](std::uint64_t n) { return static_cast<int>(random.below(drawn++, n)); };
    const auto activation = [&] { return static_cast<Activation>(below(3)); };
    const int frames = 1 + 2 * below(2);
    SpecBuilder b("custom", {3, frames, 12 + below(6), 12 + below(6)});
    int channels = 8 + 5 * below(3);
    b.conv("stem", channels, 3, 1 + below(2), 1);
    b.norm("stem.norm", activation());
    for (int i = 0; i < 5; ++i) {
        const std::string at = "block" + std::to_string(i) + ".";
        const int x = b.last();
        if (below(3) == 0) b.shift(at + "shift", 4);
        const int kind = below(4), kernel = 1 + 2 * below(2);
        const int out = kind == 0 ? channels : channels + 3 * below(2);
        const int conv =
            b.conv(at + "conv", out, kernel, 1, kernel / 2, kind == 0 ? channels : 1, below(2) == 0);
        if (kind != 1) b.norm(at + "norm", below(2) == 0 ? activation() : Activation::none);
        if (kind == 2) b.add(at + "twice", Add{activation()}, {b.last(), conv});
        if (out == channels && below(3) > 0) b.add(at + "sum", Add{}, {b.last(), x});
        if (below(2) == 0) b.add(at + "act", Activate{activation()});
        channels = out;
    }
    b.add("pool", AdaptiveAveragePool{});
    b.linear("fc", 3);
    return b.build();
}

}  // namespace

TEST_CASE("every zoo model answers folded as it did before", "[fold]") {
    for (const std::string& name : zoo_names()) {
        const bool clips = name.starts_with("tsm");
        const int least = name == "alexnet" ? 64 : 32;
        const ModelSpec spec = zoo_model(name, {5, clips ? 2 : 1, least, least});
        check_same_answers(spec, "reference", 1, 2e-5);
        check_same_answers(zoo_model(name, {5, clips ? 4 : 1, 64, 72}), "cpu", 2, 2e-5);
        const ModelSpec folded = folded_spec(spec);
        INFO(name);
        CHECK(count<BatchNorm>(folded) == 0);
        CHECK(count<Add>(folded) == 0);
        CHECK(count<Conv2d>(folded) == count<Conv2d>(spec));
        CHECK(count<TemporalShift>(folded) == count<TemporalShift>(spec));
        CHECK(count<Activate>(folded) == (name == "alexnet" ? 2 : 0));  // behind its linear layers
    }
}

TEST_CASE("small models of every kind, for images and clips, answer folded as before", "[fold]") {
    for (const std::string kind : {"plain", "residual", "inverted"})
        for (const int frames : {1, 3})
            for (const char* on : {"reference", "cpu"})
                check_same_answers(small_model(kind, 15, frames), on, 3);
}

TEST_CASE("random models answer folded as before", "[fold]") {
    std::ptrdiff_t folded = 0, kept = 0;
    for (std::uint64_t seed = 0; seed < 60; ++seed) {
        INFO("seed " << seed);
        const ModelSpec spec = random_model(seed);
        for (const char* on : {"reference", "cpu"}) check_same_answers(spec, on, 3);
        kept += count<BatchNorm>(folded_spec(spec));
        folded += count<BatchNorm>(spec) - count<BatchNorm>(folded_spec(spec));
    }
    CHECK(folded > 60);
    CHECK(kept > 10);
}

TEST_CASE("a folded convolution holds the line of its norm", "[fold]") {
    const ModelSpec spec = parse_model(
        "c = conv out=1 bias\nn = norm epsilon=1 relu6\nadaptive_pool\nlinear out=2", {2, 1, 2, 2});
    // In layer order, each on 16 elements: c.weight, c.bias, n.weight, n.bias, then the linear layer's.
    std::vector<float> parameters(96), buffers(32);
    parameters[0] = 1;
    parameters[1] = 2;
    parameters[2] = -3;
    parameters[16] = 0.5F;
    parameters[32] = 4;
    parameters[48] = 7;
    buffers[0] = 0.25F;
    buffers[16] = 3;  // 4 / sqrt(3 + 1) = 2
    const FoldedModel folded = fold(spec, parameters, buffers);
    REQUIRE(folded.spec.nodes.size() == 3);
    CHECK(folded.parameters[0] == 2);
    CHECK(folded.parameters[1] == 4);
    CHECK(folded.parameters[2] == -6);
    CHECK(folded.parameters[16] == 7.5F);
    CHECK(folded.buffers.empty());
    const Node& conv = node(folded.spec, "c");
    const auto& op = std::get<Conv2d>(conv.op);
    CHECK((op.bias && !op.residual && op.activation == Activation::relu6));
}

TEST_CASE("a convolution that two nodes read keeps its norm", "[fold]") {
    const ModelSpec spec = parse_model(R"(
        c = conv out=4
        n = norm
        r = relu
        s = add from=r,c
        adaptive_pool
        linear out=classes)",
                                       {3, 1, 8, 8});
    const ModelSpec folded = folded_spec(spec);
    CHECK(folded == spec);
    CHECK(std::holds_alternative<BatchNorm>(node(folded, "n").op));
    // The input of the model, another norm and a pool take no norm along either.
    const ModelSpec elsewhere = parse_model(R"(
        norm
        norm
        maxpool kernel=2
        norm relu
        adaptive_pool
        linear out=classes)",
                                            {3, 1, 8, 8});
    CHECK(folded_spec(elsewhere) == elsewhere);
}

TEST_CASE("a folded model refuses to train and has no description", "[fold]") {
    for (const char* on : {"reference", "cpu"}) {
        const ModelSpec spec = small_model("residual", 12, 2);
        Model model = trained(spec, on);
        const auto predictor = make_predictor(model, backend(on));
        const Clips clips(spec, 2, 1);
        CHECK_THROWS_WITH(predictor->train_step(clips.all(), {}, nullptr),
                          ContainsSubstring("cannot be trained"));
        CHECK(predict(*predictor, clips.all()).size() == 6);
        CHECK_FALSE(predictor->spec() == spec);
        CHECK_THROWS_WITH(to_json(predictor->spec()), ContainsSubstring("folded for prediction"));
        CHECK_THROWS_WITH(to_text(predictor->spec()), ContainsSubstring("folded for prediction"));
    }
}

TEST_CASE("no description gives a convolution an activation or a residual", "[fold]") {
    std::string json = to_json(zoo_model("tiny", {4, 1, 32, 32}));
    const std::string with = "\"bias\":false";
    const auto at = json.find(with);
    REQUIRE(at != std::string::npos);
    for (const std::string more : {",\"activation\":\"relu\"", ",\"residual\":true"})
        CHECK_THROWS_AS(from_json(std::string(json).insert(at + with.size(), more)), divs::InputError);
    CHECK_THROWS_AS(parse_model("conv out=4 relu", {4, 1, 8, 8}), divs::ConfigError);
    CHECK_THROWS_AS(parse_model("conv out=4 residual=true", {4, 1, 8, 8}), divs::ConfigError);
}

TEST_CASE("a folded model names the convolution where its answer went wrong", "[fold]") {
    for (const char* on : {"reference", "cpu"})
        for (const std::string kind : {"residual", "inverted"}) {
            const ModelSpec spec = small_model(kind, 16, 2);
            const Clips clips(spec, 2, 1);
            for (const Node& bad : folded_spec(spec).nodes) {
                if (!std::holds_alternative<Conv2d>(bad.op)) continue;
                INFO(on << ", " << kind << ": " << bad.name);
                Model model = trained(spec, on);
                for (const ParameterView& view : model.parameter_views())
                    if (view.name == bad.name + ".weight")
                        model.parameters()[view.offset + view.size / 2] =
                            std::numeric_limits<float>::quiet_NaN();
                const auto predictor = make_predictor(model, backend(on));
                const std::vector<float> logits = predict(*predictor, clips.all());
                CHECK_FALSE(
                    std::all_of(logits.begin(), logits.end(), [](float v) { return std::isfinite(v); }));
                CHECK(predictor->first_not_finite() == bad.name);
            }
        }
}
