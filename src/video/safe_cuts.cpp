#include "safe_cuts.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace divs::video {
namespace {

constexpr std::int64_t unknown = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t earliest = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t latest = std::numeric_limits<std::int64_t>::max();

bool times_are_sound(const std::vector<PacketInfo>& packets) {
    std::vector<std::pair<std::int64_t, std::ptrdiff_t>> order;  // pts, position in decode order
    for (const PacketInfo& packet : packets) {
        if (!packet.gives_frame()) continue;
        if (packet.pts == unknown) return false;
        order.emplace_back(packet.pts, static_cast<std::ptrdiff_t>(order.size()));
    }
    std::sort(order.begin(), order.end());
    for (std::size_t i = 0; i < order.size(); ++i) {
        if (i > 0 && order[i].first == order[i - 1].first) return false;
        if (std::abs(order[i].second - static_cast<std::ptrdiff_t>(i)) > most_out_of_place) return false;
    }
    return true;
}

// pts - dts of the first packet that has both: the delay between decoding and showing.
std::int64_t presentation_delay(const std::vector<PacketInfo>& packets) {
    for (const PacketInfo& packet : packets)
        if (packet.key && packet.pts != unknown && packet.dts != unknown)
            return std::clamp<std::int64_t>(packet.pts - packet.dts, 0,
                                            32 * std::max<std::int64_t>(packet.duration, 1));
    return 0;
}

std::int64_t usual_duration(const VideoIndex& index) {
    for (const PacketInfo& packet : index.packets)
        if (packet.duration > 0) return packet.duration;
    const double seconds = index.frame_rate.num > 0 ? 1 / index.frame_rate.value() : 1.0 / 25;
    return std::max<std::int64_t>(1, std::llround(seconds / std::max(index.time_base.value(), 1e-9)));
}

bool next_is_bidirectional(const VideoIndex& index, const std::vector<PacketFacts>& facts, std::size_t i) {
    if (facts[i].bidirectional) return true;  // packed behind the key picture
    for (++i; i < facts.size(); ++i)
        if (index.packets[i].gives_frame()) return facts[i].bidirectional;
    return false;
}

// A CRA picture with RASL pictures before the next random access picture is not clean.
bool has_skipped_leading(const std::vector<PacketFacts>& facts, std::size_t i) {
    for (++i; i < facts.size() && !facts[i].random_access_picture; ++i)
        if (facts[i].skipped_leading) return true;
    return false;
}

}  // namespace

void hide_skipped_leading(VideoIndex& index, std::vector<PacketFacts>& facts) {
    bool hide = true;  // at the start of a sequence
    bool sequence_starts = true;
    for (std::size_t i = 0; i < facts.size(); ++i) {
        if (facts[i].random_access_picture) {
            hide = sequence_starts || facts[i].start == Start::clean;
            sequence_starts = false;
        }
        if (facts[i].skipped_leading && hide) {
            index.packets[i].shown = false;
            facts[i].skipped_leading = false;
        }
        sequence_starts = sequence_starts || facts[i].ends_sequence;
    }
}

void settle_times(VideoIndex& index) {
    if (times_are_sound(index.packets)) return;
    index.numbered = true;
    const std::int64_t delay = presentation_delay(index.packets), step = usual_duration(index);
    std::int64_t last = unknown;
    for (PacketInfo& packet : index.packets) {
        std::int64_t time = packet.dts != unknown ? packet.dts + delay : last == unknown ? 0 : last + step;
        if (last != unknown && time <= last) time = packet.gives_frame() ? last + step : last;
        packet.pts = time;
        if (packet.gives_frame()) last = time;
    }
}

void mark_safe_cuts(VideoIndex& index, const std::vector<PacketFacts>& facts, bool may_reorder) {
    std::vector<PacketInfo>& packets = index.packets;
    std::vector<std::int64_t> first_behind(packets.size() + 1, latest);  // smallest pts from packet i on
    for (std::size_t i = packets.size(); i-- > 0;)
        first_behind[i] =
            packets[i].gives_frame() ? std::min(packets[i].pts, first_behind[i + 1]) : first_behind[i + 1];

    std::int64_t last_before = earliest;
    bool state_is_known = true;  // what side data set can be had by starting here
    for (std::size_t i = 0; i < packets.size(); ++i) {
        PacketInfo& packet = packets[i];
        state_is_known =
            facts[i].sets_state || (state_is_known && !(i > 0 && facts[i - 1].sets_state && i - 1 > 0));
        if (facts[i].start != Start::none && packet.gives_frame() && state_is_known &&
            last_before < first_behind[i]) {
            Start start = facts[i].start;
            if (start == Start::key) {
                const bool proved = index.numbered ? !may_reorder || !next_is_bidirectional(index, facts, i)
                                                   : packet.pts == first_behind[i];
                start = proved ? Start::clean : Start::recovery;
            } else if (start == Start::recovery && facts[i].random_access_picture &&
                       !has_skipped_leading(facts, i)) {
                start = Start::clean;
            }
            packet.safe_cut = start == Start::clean;
            packet.recovery = start == Start::recovery && !index.numbered;
        }
        if (packet.gives_frame()) last_before = std::max(last_before, packet.pts);
    }
}

int reorder_depth(std::span<const PacketInfo> packets) {
    std::vector<std::int64_t> largest;  // the largest times so far, at most 17, falling
    std::size_t depth = 0;
    for (const PacketInfo& packet : packets) {
        if (!packet.gives_frame()) continue;
        const auto place = std::lower_bound(largest.begin(), largest.end(), packet.pts, std::greater<>());
        depth = std::max(depth, static_cast<std::size_t>(place - largest.begin()));
        largest.insert(place, packet.pts);
        if (largest.size() > 17) largest.pop_back();
    }
    return static_cast<int>(std::min<std::size_t>(depth, 16));
}

}  // namespace divs::video
