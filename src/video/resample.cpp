#include "resample.hpp"

namespace divs::video {
namespace {

void add_weighted(const std::uint8_t* row, float weight, std::size_t width, float* sum) {
    for (std::size_t x = 0; x < width; ++x) sum[x] += weight * static_cast<float>(row[x]);
}

}  // namespace

void Resampler::resample(const Channel& channel, const FilterBank& vertical, const FilterBank& horizontal,
                         std::span<float> out) {
    const auto step = static_cast<std::size_t>(channel.step);
    const std::size_t width = static_cast<std::size_t>(channel.width - 1) * step + 1;
    float* target = out.data();
    for (const FilterBank::Window& window : vertical.windows) {
        row_.assign(width, 0.0F);
        for (std::int32_t k = 0; k < window.count; ++k)
            add_weighted(channel.data + channel.stride * (window.first + k),
                         vertical.weights[window.offset + static_cast<std::uint32_t>(k)], width, row_.data());
        for (const FilterBank::Window& across : horizontal.windows) {
            const float* weight = horizontal.weights.data() + across.offset;
            const float* sample = row_.data() + static_cast<std::size_t>(across.first) * step;
            float sum = 0;
            for (std::int32_t k = 0; k < across.count; ++k, sample += step) sum += weight[k] * *sample;
            *target++ = sum;
        }
    }
}

}  // namespace divs::video
