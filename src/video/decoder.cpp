#include "decoder.hpp"

#include <algorithm>

#include "hardware.hpp"

namespace divs::video {

CodecHandle open_decoder(const AVCodecParameters& codec, const DecodeOptions& options,
                         const std::string& path, int held_back) {
    const AVCodec* implementation = avcodec_find_decoder(codec.codec_id);
    if (!implementation)
        throw_error<InputError>("{}: this build of libavcodec has no decoder for {}", path,
                                avcodec_get_name(codec.codec_id));
    CodecHandle decoder(av_made(avcodec_alloc_context3(implementation)));
    av_check(avcodec_parameters_to_context(decoder.get(), &codec), path, "codec parameters");
    decoder->thread_count = std::max(1, options.threads);
    decoder->thread_type = FF_THREAD_FRAME | FF_THREAD_SLICE;
    // A device has few frames to keep.
    constexpr int most_on_device = 8;
    if (options.hardware && held_back <= most_on_device && HardwareDevice::serves(*implementation))
        options.hardware->attach(*decoder, held_back);
    decoder->max_pixels = options.limits.max_pixels;
    // Frames that may be wrong come out too, flagged: who uses them decides.
    decoder->flags |= AV_CODEC_FLAG_OUTPUT_CORRUPT;
    // H.264 often does not say how far its frames are reordered. libavcodec's decoder then learns it on the
    // way and loses frames meanwhile, in every shard anew.
    if (held_back >= 0 && codec.codec_id == AV_CODEC_ID_H264)
        decoder->has_b_frames = std::max(decoder->has_b_frames, held_back);
    av_check(avcodec_open2(decoder.get(), implementation, nullptr), path, "the decoder cannot be opened");
    return decoder;
}

}  // namespace divs::video
