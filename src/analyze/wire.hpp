// What ranks tell each other during an analysis, as bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "divs/analyze/analysis.hpp"

namespace divs::analyze {

// One rank's results of a round.
struct Part {
    std::vector<WindowResult> results;
    std::vector<std::pair<std::uint64_t, std::string>> skipped;
    std::vector<double> latencies;  // seconds, one a result
    std::uint64_t frames = 0;       // decoded
    double seconds = 0;
};
std::vector<std::byte> pack(const Part& part);
Part unpack(std::span<const std::byte> bytes);

struct Speed {
    std::uint64_t frames = 0;
    double seconds = 0;
};
std::vector<std::byte> pack_speed(const Part& part);
Speed unpack_speed(std::span<const std::byte> bytes);

}  // namespace divs::analyze
