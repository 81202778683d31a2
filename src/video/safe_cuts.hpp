// From the facts of each packet to times and safe cuts: what only the whole stream can tell.
#pragma once

#include <vector>

#include "inspect.hpp"

namespace divs::video {

// No standard lets a decoder hold back more frames than 16; a time that is further out of place, in places
// between decode and presentation order, is a jump.
constexpr int most_out_of_place = 32;

// Takes leading pictures that no decoder can show out of the promise: RASL pictures of the first random
// access picture, of a broken link, and of the first after an end of sequence.
void hide_skipped_leading(VideoIndex& index, std::vector<PacketFacts>& facts);

// Checks the presentation times; where some are missing or repeated, or they go back, makes them
// (VideoIndex::numbered) from the dts, else by counting in steps of the packets' duration.
void settle_times(VideoIndex& index);

// Sets safe_cut and recovery. A cut is safe where the bitstream allows it and every frame before it in decode
// order is shown before every frame behind it; a key packet of a codec whose syntax says nothing must itself
// be the first shown of all behind it, so that no B picture reaches back over it. Without true times
// (numbered) such a key packet is safe only where no B picture follows it directly.
void mark_safe_cuts(VideoIndex& index, const std::vector<PacketFacts>& facts, bool may_reorder);

// How many frames a decoder must hold back to give them out in order, by the times of packets in decode
// order.
int reorder_depth(std::span<const PacketInfo> packets);

}  // namespace divs::video
