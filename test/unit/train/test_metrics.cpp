#include <cmath>
#include <memory>

#include "divs/core/random.hpp"
#include "divs/train/metrics.hpp"
#include "support/catch.hpp"

using namespace divs;
using namespace divs::train;
using Catch::Matchers::ContainsSubstring;

TEST_CASE("the area under the curve is the share of pairs in order") {
    const Random random(1, Stream::test);
    for (std::uint64_t round = 0; round < 20; ++round) {
        const std::size_t n = 5 + random.below(round, 60);
        std::vector<float> scores;
        const auto positive = std::make_unique<bool[]>(n);
        for (std::size_t i = 0; i < n; ++i) {
            scores.push_back(static_cast<float>(random.below(1000 * round + i, 8)));  // with ties
            positive[i] = random.below(1000 * round + 500 + i, 3) == 0;
        }
        double ordered = 0, pairs = 0;
        for (std::size_t p = 0; p < n; ++p)
            for (std::size_t q = 0; q < n; ++q)
                if (positive[p] && !positive[q]) {
                    ++pairs;
                    ordered += scores[p] > scores[q] ? 1 : scores[p] == scores[q] ? 0.5 : 0;
                }
        const double area = area_under_curve(scores, {positive.get(), n});
        if (pairs == 0)
            CHECK(std::isnan(area));
        else
            CHECK(area == Approx(ordered / pairs));
    }
}

TEST_CASE("precision, recall and F1 follow from the confusion matrix") {
    // label 0: 3 right, 1 taken for 1; label 1: 2 right; class 2 never occurs
    std::vector<Prediction> predictions;
    auto add = [&](int label, int predicted) {
        std::vector<float> scores(3, std::log(0.1F));
        scores[static_cast<std::size_t>(predicted)] = std::log(0.8F);
        predictions.push_back({predictions.size(), label, scores});
    };
    for (int i = 0; i < 3; ++i) add(0, 0);
    add(0, 1);
    add(1, 1);
    add(1, 1);
    const Metrics metrics = measure(predictions, {"a", "b", "c"});
    CHECK(metrics.accuracy == Approx(5.0 / 6));
    CHECK(metrics.confusion == std::vector<std::vector<std::int64_t>>{{3, 1, 0}, {0, 2, 0}, {0, 0, 0}});
    CHECK(metrics.classes[0].precision == Approx(1));
    CHECK(metrics.classes[0].recall == Approx(0.75));
    CHECK(metrics.classes[1].precision == Approx(2.0 / 3));
    CHECK(metrics.classes[1].f1 == Approx(0.8));
    CHECK(metrics.macro_f1 == Approx((2 * 0.75 / 1.75 + 0.8) / 2));  // class c has no sample and stays out
    CHECK(metrics.loss == Approx(-(5 * std::log(0.8) + std::log(0.1)) / 6));
    CHECK(to_json(metrics)["per_class"][2]["auc"].is_null());
}

TEST_CASE("a loss beyond what probabilities can hold is told as it is") {
    const Metrics metrics = measure({{0, 0, {-5840, 0}}, {1, 1, {-20, -2e-9F}}}, {"a", "b"});
    CHECK(metrics.loss == Approx(2920));
    CHECK(metrics.accuracy == 0.5);
}

TEST_CASE("the confusion table names every class in full") {
    const Metrics metrics = measure({{0, 1, {-1, -2}}}, {"motorbike_blue", "motorbike_red"});
    const std::string text = to_text(metrics);
    CHECK_THAT(text.substr(text.find("confusion")),
               ContainsSubstring("  motorbike_blue  motorbike_red\n") &&
                   ContainsSubstring("motorbike_red                1              0"));
}
