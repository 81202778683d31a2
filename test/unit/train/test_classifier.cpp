#include <cmath>

#include "divs/core/error.hpp"
#include "divs/core/pixels.hpp"
#include "divs/core/random.hpp"
#include "divs/train/classifier.hpp"
#include "support/catch.hpp"

using namespace divs;
using namespace divs::train;
using Catch::Matchers::ContainsSubstring;

namespace {

constexpr int classes = 3, frames = 2, height = 32, width = 48;

std::shared_ptr<nn::Backend> on_cpu() {
    return nn::make_backend("cpu", {1, true});
}

Weights member(std::string_view architecture, std::uint64_t seed, const std::string& name,
               nn::ModelSize size = {classes, frames, height, width}) {
    nn::Model model(nn::zoo_model(architecture, size), on_cpu());
    model.initialise(seed);
    Weights weights = weights_of(model, {"car", "bus", "truck"}, 2);
    weights.file = name;
    return weights;
}

std::vector<video::Clip> random_clips(std::size_t count,
                                      const std::vector<video::PictureSize>& sizes = {{height, width}}) {
    std::vector<video::Clip> clips;
    for (std::size_t i = 0; i < count; ++i) {
        video::Clip& clip = clips.emplace_back();
        clip.sample = i;
        const Random random(i, Stream::test);
        std::uint64_t element = 0;
        for (const video::PictureSize& size : sizes) {
            clip.pixels.push_back(host_pixels()->allocate(frames * size.bytes()));
            for (auto& value : clip.pixels.back()->host())
                value = static_cast<std::uint8_t>(random.below(element++, 256));
        }
    }
    return clips;
}

// Softmax in double of a model's own logits.
std::vector<double> probabilities(const Weights& weights, const video::Clip& clip, std::size_t size = 0) {
    const auto model = make_predictor(weights, on_cpu());
    const std::vector<std::uint64_t> samples{clip.sample};
    const std::vector<Pixels*> pixels{clip.pixels[size].get()};
    std::vector<float> logits(classes);
    model->predict({.samples = samples, .clip_pixels = pixels}, logits);
    std::vector<double> result;
    double sum = 0;
    for (const float logit : logits) sum += result.emplace_back(std::exp(double{logit}));
    for (double& p : result) p /= sum;
    return result;
}

}  // namespace

TEST_CASE("classifier: several models give the mean of their probabilities") {
    const std::vector<Weights> weights{member("tiny", 1, "a.h5"), member("tiny", 2, "b.h5"),
                                       member("resnet18", 3, "c.h5")};
    const auto clips = random_clips(3);
    for (const std::size_t count : {std::size_t{1}, std::size_t{3}}) {
        const std::vector<Weights> some(weights.begin(),
                                        weights.begin() + static_cast<std::ptrdiff_t>(count));
        Classifier classifier(some, on_cpu());
        const auto scores = classifier.scores(clips);
        REQUIRE(scores.size() == clips.size());
        for (std::size_t i = 0; i < clips.size(); ++i)
            for (std::size_t c = 0; c < classes; ++c) {
                double mean = 0;
                for (const Weights& each : some)
                    mean += probabilities(each, clips[i])[c] / static_cast<double>(count);
                CHECK(scores[i][c] == Approx(mean).margin(1e-5));
            }
    }
}

TEST_CASE("classifier: models of several picture sizes each see the pixels of their own") {
    const std::vector<Weights> weights{member("tiny", 1, "a.h5"),
                                       member("tiny", 2, "b.h5", {classes, frames, 40, 24}),
                                       member("tiny", 3, "c.h5")};
    const std::vector<video::PictureSize> sizes{{height, width}, {40, 24}};
    Classifier classifier(weights, on_cpu());
    REQUIRE(classifier.sizes() == sizes);
    const auto clips = random_clips(3, sizes);
    const auto scores = classifier.scores(clips, 4);
    for (std::size_t i = 0; i < clips.size(); ++i) {
        const auto a = probabilities(weights[0], clips[i]), b = probabilities(weights[1], clips[i], 1),
                   c = probabilities(weights[2], clips[i]);
        for (std::size_t k = 0; k < classes; ++k)
            CHECK(scores[i][k] == Approx((a[k] + b[k] + c[k]) / 3).margin(1e-5));
    }
}

TEST_CASE("classifier: logarithms go where probabilities are zero") {
    Weights sure = member("tiny", 1, "a.h5"), other = member("tiny", 2, "b.h5");
    for (Array& array : sure.arrays)
        if (array.name == "fc.weight")
            for (float& value : array.values) value *= 1e4F;
    const auto clips = random_clips(3);
    Classifier alone({sure}, on_cpu()), both({sure, other}, on_cpu());
    const auto logs = alone.log_scores(clips), mean = both.log_scores(clips);
    const auto model = make_predictor(sure, on_cpu());
    for (std::size_t i = 0; i < clips.size(); ++i) {
        const std::vector<std::uint64_t> samples{clips[i].sample};
        const std::vector<Pixels*> pixels{clips[i].pixels[0].get()};
        std::vector<float> logits(classes);
        model->predict({.samples = samples, .clip_pixels = pixels}, logits);
        const double top = *std::max_element(logits.begin(), logits.end());
        double sum = 0;
        for (const float logit : logits) sum += std::exp(logit - top);
        double least = 0;
        for (std::size_t c = 0; c < classes; ++c) {
            CHECK(logs[i][c] == Approx(logits[c] - top - std::log(sum)).epsilon(1e-5).margin(1e-5));
            least = std::min(least, double{logs[i][c]});
            const double p = (std::exp(double{logs[i][c]}) + probabilities(other, clips[i])[c]) / 2;
            CHECK(mean[i][c] == Approx(std::log(p)).margin(1e-4));
        }
        CHECK(least < -110);  // of which no float is the exponential
    }
}

TEST_CASE("classifier: a batch that is filled up gives the same bits however full it is") {
    Classifier classifier({member("tiny", 1, "a.h5"), member("tiny", 2, "b.h5")}, on_cpu());
    const auto clips = random_clips(4);
    const auto all = classifier.scores(clips, 4);
    for (std::size_t count = 1; count < clips.size(); ++count) {
        const auto some = classifier.scores(std::span(clips).first(count), 4);
        CHECK(some == std::vector(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count)));
    }
}

TEST_CASE("classifier: models that read other clips or know other classes are refused by their names") {
    const Weights first = member("tiny", 1, "first.h5");
    std::vector<Weights> others{member("tiny", 1, "frames.h5", {classes, 4, height, width}), first, first};
    others[1].classes = {"car", "truck", "bus"};
    others[2].clip_stride = 1;
    for (Weights& other : others) {
        other.file = "other.h5";
        CHECK_THROWS_WITH(Classifier({first, other}, on_cpu()),
                          ContainsSubstring("first.h5") && ContainsSubstring("other.h5"));
        CHECK_THROWS_AS(Classifier({first, other}, on_cpu()), InputError);
    }
}
