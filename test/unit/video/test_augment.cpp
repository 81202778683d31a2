#include <cmath>
#include <set>

#include "divs/video/convert.hpp"
#include "support/catch.hpp"

using namespace divs::video;

namespace {

bool same(const View& a, const View& b) {
    return a.crop.x == b.crop.x && a.crop.y == b.crop.y && a.crop.width == b.crop.width &&
           a.crop.height == b.crop.height && a.flip == b.flip && a.colour == b.colour;
}

}  // namespace

TEST_CASE("augmentation that is off shows the picture as it is") {
    for (std::uint64_t sample = 0; sample < 100; ++sample) {
        const View view = augmented_view({}, 1, 2, sample), plain;
        CHECK(view.crop.x == 0);
        CHECK(view.crop.width == 1);
        CHECK_FALSE(view.flip);
        for (std::size_t r = 0; r < 3; ++r)
            for (std::size_t c = 0; c < 4; ++c)
                CHECK(view.colour[r][c] == Approx(plain.colour[r][c]).margin(1e-6));
    }
}

TEST_CASE("a view is a function of seed, epoch and sample") {
    AugmentOptions options{0.3, 1.5, true, 0.4, 0.4, 0.4};
    const View view = augmented_view(options, 1, 2, 3);
    CHECK(same(view, augmented_view(options, 1, 2, 3)));
    CHECK_FALSE(same(view, augmented_view(options, 2, 2, 3)));
    CHECK_FALSE(same(view, augmented_view(options, 1, 3, 3)));
    CHECK_FALSE(same(view, augmented_view(options, 1, 2, 4)));
    // What one augmentation does hangs on no other.
    AugmentOptions other = options;
    other.min_scale = 1, other.max_aspect = 1, other.brightness = 0;
    CHECK(augmented_view(other, 1, 2, 3).flip == view.flip);
}

TEST_CASE("crops lie in the picture with the area and shape that are allowed") {
    AugmentOptions options;
    options.min_scale = 0.25;
    options.max_aspect = 4.0 / 3;
    options.flip = true;
    double least = 1, most = 0, mean_x = 0;
    int flips = 0;
    const int trials = 4000;
    for (int i = 0; i < trials; ++i) {
        const View view = augmented_view(options, 7, 0, static_cast<std::uint64_t>(i));
        const CropBox& crop = view.crop;
        REQUIRE(crop.x >= 0);
        REQUIRE(crop.y >= 0);
        REQUIRE(crop.x + crop.width <= 1 + 1e-12);
        REQUIRE(crop.y + crop.height <= 1 + 1e-12);
        const double area = crop.width * crop.height, ratio = crop.width / crop.height;
        REQUIRE(ratio <= 4.0 / 3 + 1e-9);
        REQUIRE(ratio >= 3.0 / 4 - 1e-9);
        least = std::min(least, area), most = std::max(most, area);
        mean_x += crop.x + crop.width / 2;
        flips += view.flip;
    }
    CHECK(least < 0.26);
    CHECK(least >= 0.25 * 0.9999);
    CHECK(most > 0.95);
    CHECK(mean_x / trials == Approx(0.5).margin(0.01));
    CHECK(flips > trials * 0.46);
    CHECK(flips < trials * 0.54);
}

TEST_CASE("colour jitter keeps within its factors") {
    auto apply = [](const View& view, double r, double g, double b, std::size_t c) {
        const auto& m = view.colour[c];
        return static_cast<double>(m[0]) * r + static_cast<double>(m[1]) * g + static_cast<double>(m[2]) * b +
               static_cast<double>(m[3]);
    };
    for (std::uint64_t i = 0; i < 300; ++i) {
        AugmentOptions bright;
        bright.brightness = 0.4;
        const double gain = apply(augmented_view(bright, 1, 1, i), 0.5, 0.5, 0.5, 0) / 0.5;
        REQUIRE(gain >= 0.6 - 1e-6);
        REQUIRE(gain <= 1.4 + 1e-6);
        AugmentOptions contrast;
        contrast.contrast = 0.4;
        REQUIRE(apply(augmented_view(contrast, 1, 1, i), 0.5, 0.5, 0.5, 1) == Approx(0.5));
        const double slope = apply(augmented_view(contrast, 1, 1, i), 0.6, 0.6, 0.6, 1) - 0.5;
        REQUIRE(slope >= 0.06 - 1e-6);
        REQUIRE(slope <= 0.14 + 1e-6);
        AugmentOptions saturation;
        saturation.saturation = 1;
        const View view = augmented_view(saturation, 1, 1, i);
        for (std::size_t c = 0; c < 3; ++c)
            REQUIRE(apply(view, 0.3, 0.3, 0.3, c) == Approx(0.3));  // grey stays
        const double luma = 0.299 * apply(view, 0.9, 0.2, 0.1, 0) + 0.587 * apply(view, 0.9, 0.2, 0.1, 1) +
                            0.114 * apply(view, 0.9, 0.2, 0.1, 2);
        REQUIRE(luma == Approx(0.299 * 0.9 + 0.587 * 0.2 + 0.114 * 0.1));
    }
}
