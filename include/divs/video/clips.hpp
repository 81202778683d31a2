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

struct Clip {
    std::uint64_t sample = 0;
    std::int32_t label = -1;
    int frames = 0, height = 0, width = 0;
    std::unique_ptr<Pixels> pixels;  // (frames, height, width, 3) RGB
    std::string skipped;             // why there are no pixels; empty for a good clip

    std::size_t bytes() const noexcept { return (pixels ? pixels->size() : 0) + sizeof(Clip); }
};

struct ClipReaderOptions {
    int height = 0, width = 0;
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
