#include <algorithm>

#include "divs/video/decode.hpp"

namespace divs::video {
namespace {

class Planner {
  public:
    Planner(const VideoIndex& index, const ShardOptions& options) : index_(index), options_(options) {
        const std::size_t count = index.packets.size();
        next_safe_.assign(count + 1, static_cast<std::uint32_t>(count));
        for (std::size_t i = count; i-- > 0;)
            next_safe_[i] = index.packets[i].safe_cut ? static_cast<std::uint32_t>(i) : next_safe_[i + 1];
    }

    std::vector<Shard> plan(std::uint32_t file, std::uint32_t first_id) {
        std::vector<Shard> shards;
        Shard shard{.id = first_id, .file = file};
        std::uint32_t entry = 0;  // the last packet so far that decoding can start at
        for (std::uint32_t i = 0; i < index_.packets.size(); ++i) {
            if (i > shard.first_packet && closes_before(shard.first_packet, i)) {
                shards.push_back(closed(shard, i));
                const std::uint32_t preroll = index_.packets[i].safe_cut ? 0 : i - entry;
                shard = {.id = shard.id + 1, .file = file, .first_packet = i, .preroll_packets = preroll};
            }
            if (index_.packets[i].safe_cut || index_.packets[i].recovery) entry = i;
        }
        if (shard.first_packet < index_.packets.size())
            shards.push_back(closed(shard, static_cast<std::uint32_t>(index_.packets.size())));
        return shards;
    }

  private:
    double seconds_between(std::uint32_t first, std::uint32_t packet) const {
        if (packet >= index_.packets.size()) return 1e300;
        return static_cast<double>(index_.packets[packet].pts - index_.packets[first].pts) *
               index_.time_base.value();
    }

    // Whether a shard that began at `first` ends before packet i.
    bool closes_before(std::uint32_t first, std::uint32_t i) const {
        const PacketInfo& packet = index_.packets[i];
        if (!packet.safe_cut && !(packet.recovery && options_.allow_preroll)) return false;
        if (seconds_between(first, i) < options_.target_seconds) return false;
        return packet.safe_cut || seconds_between(first, next_safe_[i]) > 4 * options_.target_seconds;
    }

    Shard closed(Shard shard, std::uint32_t end) const {
        shard.end_packet = end;
        for (std::uint32_t i = shard.first_packet; i < end; ++i) {
            shard.frames += index_.packets[i].gives_frame();
            shard.bytes += static_cast<std::uint64_t>(std::max(0, index_.packets[i].size));
        }
        return shard;
    }

    const VideoIndex& index_;
    const ShardOptions& options_;
    std::vector<std::uint32_t> next_safe_;  // by packet: the first safe cut at or behind it
};

}  // namespace

std::vector<Shard> plan_shards(const VideoIndex& index, std::uint32_t file, std::uint32_t first_id,
                               const ShardOptions& options) {
    return Planner(index, options).plan(file, first_id);
}

}  // namespace divs::video
