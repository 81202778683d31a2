// Whether a rank that computes on a GPU decodes there too, or on its processor: what is faster, measured when
// a run starts.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "divs/video/clips.hpp"

namespace divs::video {

enum class DecodeOn { automatic, cpu, gpu };
inline const std::vector<std::string> decode_on_names{"auto", "cpu", "gpu"};
DecodeOn decode_on(std::string_view name);  // by one of these names

struct DecoderChoice {
    std::shared_ptr<const HardwareDevice> hardware;  // for DecodeOptions; null: the processor decodes
    std::string text;                                // which, and why: "on the GPU: ..."
};

// The processor, for a reason. A ConfigError with it where `wish` is the GPU.
DecoderChoice decode_on_processor(DecodeOn wish, std::string_view reason);

// Reads these shards in both ways for half a second each, by as many threads as will decode, to the memory of
// `reader`. A ConfigError where `wish` is the GPU and it cannot be had.
DecoderChoice choose_decoder(DecodeOn wish, const Catalogue& catalogue, std::span<const std::uint32_t> shards,
                             const ClipReaderOptions& reader, int threads);

}  // namespace divs::video
