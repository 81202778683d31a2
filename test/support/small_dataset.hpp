// Small data sets of real video files, made on the spot: classes that a small model learns in seconds.
#pragma once

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "divs/core/random.hpp"
#include "divs/video/encode.hpp"

namespace divs::test {

struct SmallDataset {
    int videos = 12, frames = 24, width = 48, height = 32;
    int val_videos = 4;  // of `videos`
    int gop = 8;
    std::uint64_t seed = 1;
};

// Two classes, "rise" and "fall": stripes that lean to the right or to the left, at random places, under
// noise.
inline void make_small_dataset(const std::filesystem::path& folder, const SmallDataset& set = {}) {
    std::filesystem::create_directories(folder);
    std::ofstream labels(folder / "labels.tsv");
    labels << "path\tlabel\tsplit\n";
    for (int video = 0; video < set.videos; ++video) {
        const std::string name = "v" + std::to_string(video) + ".mp4";
        const bool rise = video % 2 == 0;
        labels << name << '\t' << (rise ? "rise" : "fall") << '\t'
               << (video >= set.videos - set.val_videos ? "val" : "train") << '\n';
        video::EncodeOptions options;
        options.width = set.width;
        options.height = set.height;
        options.gop = set.gop;
        options.bframes = 1;
        video::VideoEncoder encoder(folder / name, options);
        const Random random(set.seed, Stream::test, static_cast<std::uint64_t>(video));
        std::vector<std::uint8_t> grey(static_cast<std::size_t>(set.width) *
                                       static_cast<std::size_t>(set.height));
        for (int frame = 0; frame < set.frames; ++frame) {
            const double phase = random.uniform(0, 0, 6.28) + frame * random.uniform(1, 0.1, 0.6);
            for (std::size_t i = 0; i < grey.size(); ++i) {
                const auto x = static_cast<double>(i % static_cast<std::size_t>(set.width));
                const auto y = static_cast<double>(i / static_cast<std::size_t>(set.width));
                const double noise = random.uniform(i + 1000 * static_cast<std::uint64_t>(frame), -30, 30);
                const double wave = std::sin(0.6 * (rise ? x + y : x - y) + phase);
                grey[i] = static_cast<std::uint8_t>(128 + 70 * wave + noise);
            }
            encoder.write({set.width, set.height, grey, grey, grey}, frame / 25.0);
        }
        encoder.close();
    }
}

}  // namespace divs::test
