#include <algorithm>
#include <exception>
#include <numeric>
#include <unordered_set>

#include "divs/core/error.hpp"
#include "divs/core/random.hpp"
#include "divs/io/bytes.hpp"
#include "divs/train/loader.hpp"

namespace divs::train {
namespace {

void pack(const video::Clip& clip, io::ByteWriter& out) {
    out.number(clip.sample);
    out.number(static_cast<std::uint64_t>(clip.label));
    out.number(clip.pixels.size());
    for (const auto& pixels : clip.pixels) out.raw(std::as_bytes(pixels->host()));
    out.text(clip.skipped);
}

void unpack(const comm::Message& message, std::vector<video::Clip>& clips) {
    io::ByteReader in(message.bytes, fmt::format("clips from rank {}", message.peer));
    while (in.left() > 0) {
        video::Clip clip;
        clip.sample = in.number();
        clip.label = static_cast<std::int32_t>(in.number());
        for (auto sizes = in.number(); sizes > 0; --sizes) {
            const auto pixels = in.raw();
            clip.pixels.push_back(host_pixels()->allocate(pixels.size()));
            std::ranges::copy(pixels, std::as_writable_bytes(clip.pixels.back()->host()).begin());
        }
        clip.skipped = in.text();
        clips.push_back(std::move(clip));
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
      batch_(static_cast<std::size_t>(batch)),
      exceptions_(std::uncaught_exceptions()) {}

// The messages that arrive have their place in it.
GlobalLoader::~GlobalLoader() {
    if (!ahead_) return;
    try {
        if (std::uncaught_exceptions() > exceptions_)
            world_.leave();
        else
            ahead_->work.wait();
    } catch (const std::exception&) {  // the one who waits for the next operation hears of it
    }
}

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
    // The last batch is smaller: its slices keep the proportions of the shares, which are of a whole batch,
    // or of this one where an epoch begins with it (a small data set, or a run that goes on there).
    const std::size_t total = transfer->end - begin;
    const auto all_shares = static_cast<std::size_t>(std::accumulate(shares.begin(), shares.end(), 0));
    std::size_t share_sum = 0;
    for (int rank = 0; rank < world_.size(); ++rank) {
        share_sum += static_cast<std::size_t>(shares[static_cast<std::size_t>(rank)]);
        const std::size_t slice_end = begin + share_sum * total / all_shares;
        io::ByteWriter travelling;
        for (; i < slice_end; ++i) {
            if (holder_[catalogue_.samples[order_[i]].shard] != world_.rank()) continue;
            video::Clip clip = wait_for(order_[i]);
            if (rank == world_.rank())
                transfer->kept.push_back(std::move(clip));
            else
                pack(clip, travelling);
        }
        if (travelling.size() > 0) outgoing.push_back({rank, travelling.take()});
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
    for (const auto& message : current->received) unpack(message, clips);
    // What order they came in depends on who held them; the batch must not.
    std::sort(clips.begin(), clips.end(), [](const auto& a, const auto& b) { return a.sample < b.sample; });
    if (next_ < order_.size()) ahead_ = start(next_, shares);
    StepClips step;
    for (auto& clip : clips) (clip.skipped.empty() ? step.clips : step.skipped).push_back(std::move(clip));
    return step;
}

}  // namespace divs::train
