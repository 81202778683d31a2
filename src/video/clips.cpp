#include "divs/video/clips.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <optional>

#include "device_converter.hpp"
#include "divs/core/clock.hpp"
#include "divs/core/error.hpp"
#include "hardware.hpp"

namespace divs::video {
namespace {

// A clip while its frames come in. Slots are filled in order, as the frames come in order of time.
struct OpenClip {
    const Sample* sample = nullptr;
    View view;
    std::size_t filled = 0;  // frames
    Clip clip;

    bool whole() const noexcept { return filled == sample->pts.size(); }
    std::int64_t wanted() const noexcept { return sample->pts[filled]; }
};

bool same_view(const View& a, const View& b) {
    return a.flip == b.flip && a.crop.x == b.crop.x && a.crop.y == b.crop.y && a.crop.width == b.crop.width &&
           a.crop.height == b.crop.height && a.colour == b.colour;
}

// Makes the pictures of one size, where the frame lies.
class Output {
  public:
    Output(PictureSize size, PixelMemory& memory)
        : size_(size), memory_(memory), converter_(size.width, size.height) {}

    std::size_t bytes() const noexcept { return size_.bytes(); }

    // Place `number` of the clip's pictures.
    std::span<std::uint8_t> place(Pixels& pixels, std::size_t number) const {
        return pixels.host(number * bytes(), bytes());
    }
    void convert(const Frame& frame, const View& view, Pixels& pixels, std::size_t number) {
        if (convertible_on_device(*frame.get()))
            on_device().convert(*frame.get(), view, pixels, number * bytes());
        else
            converter_.convert(*frame.get(), view, place(pixels, number));
    }

  private:
    DeviceConverter& on_device() {
        if (!on_device_) {
            DevicePictures* pictures = memory_.pictures();
            if (!pictures) throw Error("a frame on a device, and clips that are not");
            on_device_.emplace(*pictures, size_.width, size_.height);
        }
        return *on_device_;
    }

    PictureSize size_;
    PixelMemory& memory_;
    Converter converter_;
    std::optional<DeviceConverter> on_device_;  // once a frame came that lies there
};

}  // namespace

struct ClipReader::Impl {
    const Catalogue& catalogue;
    const Shard& shard;
    const VideoIndex& index;
    const ClipReaderOptions options;
    const ViewOf view_of;
    const std::vector<std::byte> packed;
    const double first_seconds;  // the file's first pts, in seconds of its clock
    std::vector<Output> outputs;  // one for each of the sizes
    std::optional<ShardDecoder> decoder;
    DecodeCounts counts;
    std::deque<const Sample*> pending;  // not reached yet, in order of time
    std::deque<OpenClip> open;
    std::deque<Clip> ready;
    bool ended = false;

    Impl(const Catalogue& all, std::uint32_t shard_id, std::vector<std::uint64_t> wanted,
         const ClipReaderOptions& how, ViewOf view, std::vector<std::byte> bytes)
        : catalogue(all),
          shard(all.shards.at(shard_id)),
          index(all.files.at(shard.file)),
          options(how),
          view_of(std::move(view)),
          packed(std::move(bytes)),
          first_seconds(static_cast<double>(index.first_pts()) * index.time_base.value()) {
        for (const PictureSize& size : options.sizes) outputs.emplace_back(size, *options.memory);
        std::sort(wanted.begin(), wanted.end());
        wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
        for (const std::uint64_t id : wanted) {  // ids rise with time inside a shard
            if (id >= all.samples.size() || all.samples[id].shard != shard_id)
                throw_error<Error>("sample {} was asked for from shard {}, which does not hold it", id,
                                   shard_id);
            pending.push_back(&all.samples[id]);
        }
    }

    double seconds(std::int64_t pts) const {
        return static_cast<double>(pts) * index.time_base.value() - first_seconds;
    }

    void skip(const Sample& sample, std::string reason) {
        ready.push_back({sample.id, sample.label, {}, std::move(reason)});
    }

    // Reads on until a clip is whole or nothing is left.
    void read_on() {
        Frame frame;
        if (!decode(frame)) return finish("the video ended before it");
        while (!pending.empty() && pending.front()->pts.front() <= frame.pts) start_clip();
        const Stopwatch watch;
        const bool converted = add_to_clips(frame);
        if (options.times && converted) options.times->add(Stage::convert, watch.seconds());
        if (pending.empty() && open.empty()) finish_counts();
    }

    bool decode(Frame& frame) {
        const Stopwatch watch;
        if (!decoder) open_decoder();
        const bool more = decoder->next(frame);
        counts = decoder->counts();
        if (options.times) options.times->add(Stage::decode, watch.seconds());
        return more;
    }

    void open_decoder() {
        if (packed.empty())
            decoder.emplace(index, shard, options.decode);
        else
            decoder.emplace(packed, options.decode);
    }

    void start_clip() {
        const Sample& sample = *pending.front();
        pending.pop_front();
        OpenClip clip{&sample, view_of ? view_of(sample.id) : View{}, 0, {sample.id, sample.label, {}, {}}};
        for (const Output& output : outputs)
            clip.clip.pixels.push_back(options.memory->allocate(output.bytes() * sample.pts.size()));
        open.push_back(std::move(clip));
    }

    // Gives the frame to all clips that want it; clips whose frame did not come are skipped. True where it
    // was used.
    bool add_to_clips(const Frame& frame) {
        const OpenClip* last = nullptr;  // holds this frame, converted
        for (OpenClip& clip : open) {
            if (clip.wanted() > frame.pts) continue;
            if (clip.wanted() < frame.pts) {
                clip.clip.skipped =
                    fmt::format("the frame at {:.3f} s could not be decoded", seconds(clip.wanted()));
            } else if (frame.corrupt) {
                clip.clip.skipped = fmt::format("the frame at {:.3f} s is damaged", seconds(frame.pts));
            } else {
                add_frame(clip, frame, last);
                last = &clip;
            }
        }
        const bool used = last != nullptr;
        for (OpenClip& clip : open)
            if (clip.whole() || !clip.clip.skipped.empty()) close(clip);
        std::erase_if(open, [](const OpenClip& clip) { return !clip.sample; });
        return used;
    }

    // A short clip repeats its last frame.
    void add_frame(OpenClip& clip, const Frame& frame, const OpenClip* same) {
        do {
            show(frame, clip, same);
            ++clip.filled;
            same = &clip;
        } while (!clip.whole() && clip.wanted() == frame.pts);
    }

    // Converts the frame to the clip's next place; `same` has just got it, perhaps by the same view.
    void show(const Frame& frame, OpenClip& clip, const OpenClip* same) {
        const bool on_host = !convertible_on_device(*frame.get());
        const bool copied = on_host && same && same_view(same->view, clip.view);
        for (std::size_t i = 0; i < outputs.size(); ++i) {
            Pixels& pixels = *clip.clip.pixels[i];
            if (copied)
                std::ranges::copy(outputs[i].place(*same->clip.pixels[i], same->filled - 1),
                                  outputs[i].place(pixels, clip.filled).begin());
            else
                outputs[i].convert(frame, clip.view, pixels, clip.filled);
        }
    }

    void close(OpenClip& clip) {
        if (clip.clip.skipped.empty())
            for (const auto& pixels : clip.clip.pixels) pixels->filled();
        else
            clip.clip.pixels.clear();
        ready.push_back(std::move(clip.clip));
        clip.sample = nullptr;
    }

    void finish_counts() {
        ended = true;
        decoder.reset();
    }

    // Nothing more comes: whoever still waits is skipped.
    void finish(const std::string& reason) {
        for (const OpenClip& clip : open)
            skip(*clip.sample, fmt::format("the frame at {:.3f} s could not be decoded: {}",
                                           seconds(clip.wanted()), reason));
        for (const Sample* sample : pending)
            skip(*sample, fmt::format("the frame at {:.3f} s could not be decoded: {}",
                                      seconds(sample->pts.front()), reason));
        open.clear();
        pending.clear();
        finish_counts();
    }
};

ClipReader::ClipReader(const Catalogue& catalogue, std::uint32_t shard, std::vector<std::uint64_t> wanted,
                       const ClipReaderOptions& options, ViewOf view, std::vector<std::byte> packed)
    : impl_(std::make_unique<Impl>(catalogue, shard, std::move(wanted), options, std::move(view),
                                   std::move(packed))) {}
ClipReader::~ClipReader() = default;

bool ClipReader::next(Clip& clip) {
    Impl& reader = *impl_;
    while (reader.ready.empty() && !reader.ended) {
        if (reader.pending.empty() && reader.open.empty()) {
            reader.finish_counts();
            break;
        }
        try {
            reader.read_on();
        } catch (const InputError& e) {
            reader.finish(e.what());
        }
    }
    if (reader.ready.empty()) return false;
    clip = std::move(reader.ready.front());
    reader.ready.pop_front();
    return true;
}

const DecodeCounts& ClipReader::counts() const noexcept {
    return impl_->counts;
}

}  // namespace divs::video
