#include <algorithm>
#include <cmath>

#include "divs/core/random.hpp"
#include "divs/video/convert.hpp"

namespace divs::video {
namespace {

// Which number of a sample's family decides what.
enum Draw : std::uint64_t { scale, aspect, left, top, mirror, brightness, contrast, saturation };

constexpr double luma[3] = {0.299, 0.587, 0.114};

using Affine = std::array<std::array<double, 4>, 3>;

// second(first(x))
Affine then(const Affine& first, const Affine& second) {
    Affine both{};
    for (std::size_t r = 0; r < 3; ++r)
        for (std::size_t c = 0; c < 4; ++c) {
            both[r][c] = c == 3 ? second[r][3] : 0;
            for (std::size_t k = 0; k < 3; ++k) both[r][c] += second[r][k] * first[k][c];
        }
    return both;
}

CropBox random_crop(const AugmentOptions& options, const Random& random) {
    CropBox crop;
    const double area = random.uniform(Draw::scale, std::min(options.min_scale, 1.0), 1.0);
    const double stretch = std::log(std::max(options.max_aspect, 1.0));
    const double ratio = std::exp(random.uniform(Draw::aspect, -stretch, stretch));
    crop.width = std::min(1.0, std::sqrt(area * ratio));
    crop.height = std::min(1.0, std::sqrt(area / ratio));
    crop.x = random.uniform(Draw::left) * (1 - crop.width);
    crop.y = random.uniform(Draw::top) * (1 - crop.height);
    return crop;
}

}  // namespace

View augmented_view(const AugmentOptions& options, std::uint64_t seed, std::uint64_t epoch,
                    std::uint64_t sample) {
    const Random random(seed, Stream::augment, epoch, sample);
    auto factor = [&](Draw draw, double most) {
        return random.uniform(draw, std::max(0.0, 1 - most), 1 + most);
    };
    View view;
    if (options.min_scale < 1 || options.max_aspect > 1) view.crop = random_crop(options, random);
    view.flip = options.flip && random.uniform(Draw::mirror) < 0.5;

    const double b = factor(Draw::brightness, options.brightness);  // x -> b x
    const double c = factor(Draw::contrast, options.contrast);      // about mid-grey, x -> c (x - 0.5) + 0.5
    const double s = factor(Draw::saturation, options.saturation);  // about the pixel's own grey
    const Affine bright{{{b, 0, 0, 0}, {0, b, 0, 0}, {0, 0, b, 0}}};
    const double rest = 0.5 * (1 - c);
    const Affine contrasted{{{c, 0, 0, rest}, {0, c, 0, rest}, {0, 0, c, rest}}};
    Affine saturated{};
    for (std::size_t row = 0; row < 3; ++row)
        for (std::size_t k = 0; k < 3; ++k) saturated[row][k] = (1 - s) * luma[k] + (row == k ? s : 0);
    const Affine all = then(then(bright, contrasted), saturated);
    for (std::size_t row = 0; row < 3; ++row)
        for (std::size_t k = 0; k < 4; ++k) view.colour[row][k] = static_cast<float>(all[row][k]);
    return view;
}

}  // namespace divs::video
