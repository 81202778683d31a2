#include "steep_converter.hpp"

#include <algorithm>

namespace divs::video {
namespace {

void add_weighted(const std::uint8_t* row, float weight, std::size_t width, float* sum) {
    for (std::size_t x = 0; x < width; ++x) sum[x] += weight * static_cast<float>(row[x]);
}

std::uint8_t to_level(float value) {
    return static_cast<std::uint8_t>(std::clamp(value, 0.0F, 255.0F) + 0.5F);
}

}  // namespace

// out: (height, width) in levels
void SteepConverter::resample(const ChannelPass& pass, std::vector<float>& out) {
    const Channel& channel = pass.channel;
    const auto step = static_cast<std::size_t>(channel.step);
    const std::size_t width = static_cast<std::size_t>(channel.width - 1) * step + 1;
    out.resize(pass.down->windows.size() * pass.across->windows.size());
    float* target = out.data();
    for (const FilterBank::Window& window : pass.down->windows) {
        row_.assign(width, 0.0F);
        const std::uint8_t* row = channel.data + channel.offset + channel.stride * window.first;
        for (std::int32_t k = 0; k < window.count; ++k, row += channel.stride)
            add_weighted(row, pass.down->weights[window.offset + static_cast<std::uint32_t>(k)], width,
                         row_.data());
        for (const FilterBank::Window& across : pass.across->windows) {
            const float* weight = pass.across->weights.data() + across.offset;
            const float* sample = row_.data() + static_cast<std::size_t>(across.first) * step;
            float sum = 0;
            for (std::int32_t k = 0; k < across.count; ++k, sample += step) sum += weight[k] * *sample;
            *target++ = sum;
        }
    }
}

void SteepConverter::convert(const Passes& passes, std::span<std::uint8_t> rgb) {
    for (int c = 0; c < 3; ++c) {
        auto& plane = planes_[static_cast<std::size_t>(c)];
        if (c < passes.channels)
            resample(passes.of[static_cast<std::size_t>(c)], plane);
        else
            plane.assign(passes.width * passes.height, 128.0F);
    }
    const auto& [a, b, c] = planes_;
    for (std::size_t i = 0; i < a.size(); ++i)
        for (std::size_t k = 0; k < 3; ++k) {
            const auto& m = passes.map[k];
            rgb[3 * i + k] = to_level(m[0] * a[i] + m[1] * b[i] + m[2] * c[i] + m[3]);
        }
}

}  // namespace divs::video
