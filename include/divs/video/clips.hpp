// From shards to clips: decodes a shard once and cuts out its samples.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "divs/core/ledger.hpp"
#include "divs/core/pixels.hpp"
#include "divs/video/convert.hpp"
#include "divs/video/dataset.hpp"

namespace divs::video {

// Of the pictures that a model reads.
struct PictureSize {
    int height = 0, width = 0;

    std::size_t bytes() const noexcept {  // 8-bit RGB
        return static_cast<std::size_t>(height) * static_cast<std::size_t>(width) * 3;
    }
    bool operator==(const PictureSize&) const = default;
};

struct Clip {
    std::uint64_t sample = 0;
    std::int32_t label = -1;
    // (frames, height, width, 3) RGB, once for each of the reader's sizes; empty where the clip is skipped
    std::vector<std::unique_ptr<Pixels>> pixels;
    std::string skipped;  // why there are no pixels; empty for a good clip

    std::size_t bytes() const noexcept {
        std::size_t sum = sizeof(Clip);
        for (const auto& each : pixels) sum += each->size();
        return sum;
    }
};

struct ClipReaderOptions {
    std::vector<PictureSize> sizes;  // at least one
    DecodeOptions decode;
    TimeLedger* times = nullptr;                          // decode and convert are added here
    std::shared_ptr<PixelMemory> memory = host_pixels();  // of the clips
};

// Reads the wanted samples of one shard in one unbroken decode and gives each as soon as it is whole, in order of time.
// Every wanted sample comes exactly once, as a clip or with the reason why not. `view` says how a sample is shown.
class ClipReader {
  public:
    using ViewOf = std::function<View(std::uint64_t sample)>;
    // `packed`: the shard as sent by another rank; empty: read from the file.
    ClipReader(const Catalogue& catalogue, std::uint32_t shard, std::vector<std::uint64_t> wanted,
               const ClipReaderOptions& options, ViewOf view = {}, std::vector<std::byte> packed = {});
    ~ClipReader();
    bool next(Clip& clip);  // false at the end; never throws for damage in the video
    const DecodeCounts& counts() const noexcept;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace divs::video
