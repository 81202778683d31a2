#include <algorithm>
#include <cstring>
#include <unordered_set>

#include "divs/core/error.hpp"
#include "divs/core/random.hpp"
#include "divs/train/loader.hpp"

namespace divs::train {
namespace {

struct ClipHeader {
    std::uint64_t sample;
    std::int32_t label, frames, height, width;
    std::uint64_t pixels, reason;  // bytes that follow
};

void append(std::vector<std::byte>& out, const void* data, std::size_t bytes) {
    const auto* first = static_cast<const std::byte*>(data);
    out.insert(out.end(), first, first + bytes);
}

void pack(const video::Clip& clip, std::vector<std::byte>& out) {
    const ClipHeader header{clip.sample, clip.label,         clip.frames,        clip.height,
                            clip.width,  clip.pixels.size(), clip.skipped.size()};
    append(out, &header, sizeof header);
    append(out, clip.pixels.data(), clip.pixels.size());
    append(out, clip.skipped.data(), clip.skipped.size());
}

void unpack(std::span<const std::byte> bytes, std::vector<video::Clip>& clips) {
    while (!bytes.empty()) {
        ClipHeader header;
        if (bytes.size() < sizeof header) throw_error<CommunicationError>("a clip from a peer is cut short");
        std::memcpy(&header, bytes.data(), sizeof header);
        bytes = bytes.subspan(sizeof header);
        if (bytes.size() < header.pixels + header.reason)
            throw_error<CommunicationError>("the clip of sample {} from a peer is cut short", header.sample);
        video::Clip clip;
        clip.sample = header.sample;
        clip.label = header.label;
        clip.frames = header.frames;
        clip.height = header.height;
        clip.width = header.width;
        const auto* pixels = reinterpret_cast<const std::uint8_t*>(bytes.data());
        clip.pixels.assign(pixels, pixels + header.pixels);
        clip.skipped.assign(reinterpret_cast<const char*>(bytes.data()) + header.pixels, header.reason);
        clips.push_back(std::move(clip));
        bytes = bytes.subspan(header.pixels + header.reason);
    }
}

}  // namespace

std::vector<std::uint64_t> global_order(const video::Catalogue& catalogue,
                                        const std::vector<std::uint64_t>& samples, int mix,
                                        std::uint64_t seed, std::uint64_t epoch) {
    const std::unordered_set<std::uint64_t> wanted(samples.begin(), samples.end());
    const Random shards(seed, Stream::shuffle, epoch);
    std::vector<std::uint64_t> order, window;
    std::uint64_t windows = 0;
    auto close = [&] {
        const Random within(seed, Stream::shuffle, epoch, ++windows);
        for (const auto i : within.permutation(static_cast<std::uint32_t>(window.size())))
            order.push_back(window[i]);
        window.clear();
    };
    for (const auto shard : shards.permutation(static_cast<std::uint32_t>(catalogue.shards.size()))) {
        for (const auto sample : catalogue.shard_samples[shard])
            if (wanted.contains(sample)) window.push_back(sample);
        if (window.size() >= static_cast<std::size_t>(mix)) close();
    }
    close();
    return order;
}

GlobalLoader::GlobalLoader(ClipFeed& feed, comm::World& world, const video::Catalogue& catalogue,
                           std::vector<std::uint64_t> order, std::vector<int> holder, int batch)
    : feed_(feed),
      world_(world),
      catalogue_(catalogue),
      order_(std::move(order)),
      holder_(std::move(holder)),
      batch_(static_cast<std::size_t>(batch)) {}

video::Clip GlobalLoader::wait_for(std::uint64_t sample) {
    while (true) {
        if (auto found = decoded_.extract(sample)) return std::move(found.mapped());
        auto clip = feed_.pop();
        if (!clip)
            throw_error<Error>("sample {} was never decoded: its shard was not leased to this rank", sample);
        const std::uint64_t id = clip->sample;
        decoded_.emplace(id, std::move(*clip));
    }
}

std::unique_ptr<GlobalLoader::Transfer> GlobalLoader::start(std::size_t begin,
                                                            const std::vector<int>& shares) {
    auto transfer = std::make_unique<Transfer>();
    transfer->end = std::min(begin + batch_, order_.size());
    std::vector<comm::Message> outgoing;
    std::size_t i = begin;
    // The last batch is smaller: its slices keep the proportions of the shares.
    const std::size_t total = transfer->end - begin;
    std::size_t share_sum = 0;
    for (int rank = 0; rank < world_.size(); ++rank) {
        share_sum += static_cast<std::size_t>(shares[static_cast<std::size_t>(rank)]);
        const std::size_t slice_end = begin + share_sum * total / batch_;
        comm::Message message{rank, {}};
        for (; i < slice_end; ++i) {
            if (holder_[catalogue_.samples[order_[i]].shard] != world_.rank()) continue;
            video::Clip clip = wait_for(order_[i]);
            if (rank == world_.rank())
                transfer->kept.push_back(std::move(clip));
            else
                pack(clip, message.bytes);
        }
        if (!message.bytes.empty()) outgoing.push_back(std::move(message));
    }
    if (world_.size() > 1) transfer->work = world_.exchange(std::move(outgoing), transfer->received, "clips");
    return transfer;
}

StepClips GlobalLoader::take(const std::vector<int>& shares) {
    if (!ahead_) ahead_ = start(next_, shares);
    auto current = std::move(ahead_);
    current->work.wait();
    next_ = current->end;
    std::vector<video::Clip> clips = std::move(current->kept);
    for (const auto& message : current->received) unpack(message.bytes, clips);
    // What order they came in depends on who held them; the batch must not.
    std::sort(clips.begin(), clips.end(), [](const auto& a, const auto& b) { return a.sample < b.sample; });
    if (next_ < order_.size()) ahead_ = start(next_, shares);
    StepClips step;
    for (auto& clip : clips) (clip.skipped.empty() ? step.clips : step.skipped).push_back(std::move(clip));
    return step;
}

}  // namespace divs::train
