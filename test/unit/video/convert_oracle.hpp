// Conversion written down as it is defined, in double and without any thought of speed; and frames to try it
// on.
#pragma once

extern "C" {
#include <libavutil/frame.h>
#include <libavutil/pixdesc.h>
}

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

#include "divs/core/random.hpp"
#include "divs/video/convert.hpp"
#include "unit/video/encode.hpp"

namespace divs::video::test {

struct FreeFrame {
    void operator()(AVFrame* frame) const { av_frame_free(&frame); }
};
using TestFrame = std::unique_ptr<AVFrame, FreeFrame>;

inline const AVPixFmtDescriptor& describe(const AVFrame& frame) {
    return *av_pix_fmt_desc_get(static_cast<AVPixelFormat>(frame.format));
}
inline int plane_size(int size, int component, int shift) {
    return component == 0 ? size : AV_CEIL_RSHIFT(size, shift);
}
inline int width_of(const AVFrame& f, int c) {
    return describe(f).flags & AV_PIX_FMT_FLAG_RGB ? f.width
                                                   : plane_size(f.width, c, describe(f).log2_chroma_w);
}
inline int height_of(const AVFrame& f, int c) {
    return describe(f).flags & AV_PIX_FMT_FLAG_RGB ? f.height
                                                   : plane_size(f.height, c, describe(f).log2_chroma_h);
}

// One 8-bit sample of a component.
inline std::uint8_t& sample_of(const AVFrame& f, int component, int x, int y) {
    const AVComponentDescriptor& c = describe(f).comp[component];
    return f.data[c.plane][y * f.linesize[c.plane] + x * c.step + c.offset];
}

// `roughness` 0: smooth waves, as in a natural picture; 1: noise.
inline TestFrame make_picture(AVPixelFormat format, int width, int height, double roughness,
                              std::uint64_t seed) {
    TestFrame frame(av_frame_alloc());
    frame->format = format, frame->width = width, frame->height = height;
    check(av_frame_get_buffer(frame.get(), 0), "picture");
    const Random random(seed, Stream::test);
    std::uint64_t draw = 0;
    for (int c = 0; c < std::min<int>(3, describe(*frame).nb_components); ++c) {
        const double fx = random.uniform(draw++, 1, 4), fy = random.uniform(draw++, 1, 4),
                     phase = random.uniform(draw++, 0, 6);
        const int w = width_of(*frame, c), h = height_of(*frame, c);
        for (int y = 0; y < h; ++y)
            for (int x = 0; x < w; ++x) {
                const double wave =
                    0.5 + 0.5 * std::sin(phase + 6.28 * (fx * (x + 0.5) / w + fy * (y + 0.5) / h));
                const double value = (1 - roughness) * wave + roughness * random.uniform(draw++);
                sample_of(*frame, c, x, y) = static_cast<std::uint8_t>(std::lround(16 + 219 * value));
            }
    }
    return frame;
}

// The weight of each source sample for output i of `out` that show [begin, begin + size).
inline std::vector<double> triangle(int source, double begin, double size, int out, int i) {
    const double scale = size / out, radius = std::max(1.0, scale), centre = begin + (i + 0.5) * scale;
    std::vector<double> weights;
    double sum = 0;
    for (int k = 0; k < source; ++k) {
        weights.push_back(std::max(0.0, 1 - std::abs(k + 0.5 - centre) / radius));
        sum += weights.back();
    }
    for (double& w : weights) w /= sum;
    return weights;
}

// A component at every output pixel, in levels.
inline std::vector<double> resized(const AVFrame& f, int c, const View& view, int width, int height) {
    const int w = width_of(f, c), h = height_of(f, c);
    const bool coarse = c > 0 && !(describe(f).flags & AV_PIX_FMT_FLAG_RGB);
    const double cx = coarse ? 1 << describe(f).log2_chroma_w : 1,
                 cy = coarse ? 1 << describe(f).log2_chroma_h : 1;
    std::vector<double> rows(static_cast<std::size_t>(w) * static_cast<std::size_t>(height));
    for (int oy = 0; oy < height; ++oy) {
        const auto weights =
            triangle(h, view.crop.y * f.height / cy, view.crop.height * f.height / cy, height, oy);
        for (int x = 0; x < w; ++x)
            for (int y = 0; y < h; ++y)
                rows[static_cast<std::size_t>(oy * w + x)] +=
                    weights[static_cast<std::size_t>(y)] * sample_of(f, c, x, y);
    }
    std::vector<double> out(static_cast<std::size_t>(width) * static_cast<std::size_t>(height));
    for (int ox = 0; ox < width; ++ox) {
        const auto weights = triangle(w, view.crop.x * f.width / cx, view.crop.width * f.width / cx, width,
                                      view.flip ? width - 1 - ox : ox);
        for (int oy = 0; oy < height; ++oy)
            for (int x = 0; x < w; ++x)
                out[static_cast<std::size_t>(oy * width + ox)] +=
                    weights[static_cast<std::size_t>(x)] * rows[static_cast<std::size_t>(oy * w + x)];
    }
    return out;
}

// Full RGB in [0, 1] before jitter. kr, kb: ITU-R BT.601, 709 or 2020.
inline std::vector<double> oracle(const AVFrame& f, const View& view, int width, int height, double kr,
                                  double kb, bool full) {
    const bool rgb = describe(f).flags & AV_PIX_FMT_FLAG_RGB;
    const bool grey = describe(f).nb_components < 3;
    const auto n = static_cast<std::size_t>(width) * static_cast<std::size_t>(height);
    std::vector<double> planes[3], out(3 * n);
    for (int c = 0; c < 3; ++c)
        planes[c] = grey && c > 0 ? std::vector<double>(n, 128.0) : resized(f, c, view, width, height);
    for (std::size_t i = 0; i < n; ++i) {
        double colour[3] = {planes[0][i] / 255, planes[1][i] / 255, planes[2][i] / 255};
        if (!rgb) {
            const double y = full ? planes[0][i] / 255 : (planes[0][i] - 16) / 219;
            const double u = (planes[1][i] - 128) / (full ? 255 : 224),
                         v = (planes[2][i] - 128) / (full ? 255 : 224);
            colour[0] = y + 2 * (1 - kr) * v;
            colour[2] = y + 2 * (1 - kb) * u;
            colour[1] = (y - kr * colour[0] - kb * colour[2]) / (1 - kr - kb);
        }
        for (std::size_t k = 0; k < 3; ++k) {
            const auto& m = view.colour[k];
            double value = static_cast<double>(m[3]);
            for (std::size_t j = 0; j < 3; ++j) value += static_cast<double>(m[j]) * colour[j];
            out[3 * i + k] = 255 * std::clamp(value, 0.0, 1.0);
        }
    }
    return out;
}

struct Difference {
    double most = 0, mean = 0, bias = 0;  // levels
};

inline Difference compare(const std::vector<std::uint8_t>& ours, const std::vector<double>& truth) {
    Difference d;
    for (std::size_t i = 0; i < ours.size(); ++i) {
        const double error = ours[i] - truth[i];
        d.most = std::max(d.most, std::abs(error));
        d.mean += std::abs(error) / static_cast<double>(ours.size());
        d.bias += error / static_cast<double>(ours.size());
    }
    return d;
}

inline std::vector<std::uint8_t> converted(const AVFrame& frame, int width, int height,
                                           const View& view = {}) {
    std::vector<std::uint8_t> rgb(static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * 3);
    Converter(width, height).convert(frame, view, rgb);
    return rgb;
}

inline double psnr(const std::vector<std::uint8_t>& a, const std::vector<std::uint8_t>& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sum == 0 ? 99 : 10 * std::log10(255.0 * 255.0 * static_cast<double>(a.size()) / sum);
}

}  // namespace divs::video::test
