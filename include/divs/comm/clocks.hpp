// Clocks of the ranks against rank 0's.
#pragma once

#include <vector>

#include "divs/comm/world.hpp"

namespace divs::comm {

// What to add to a rank's clock to get rank 0's, in seconds; wrong by at most half of the round trip.
struct ClockOffset {
    double steady = 0;      // of now_seconds()
    double wall = 0;        // of the time of day
    double round_trip = 0;  // of the message that told; 0: rank 0 itself
};

// Rank 0 asks every rank, one after the other, `rounds` times; of the answers that with the shortest way counts
// (Cristian, "Probabilistic clock synchronization", 1989). Collective; by rank on rank 0, empty elsewhere.
std::vector<ClockOffset> clock_offsets(World& world, int rounds = 20);

}  // namespace divs::comm
