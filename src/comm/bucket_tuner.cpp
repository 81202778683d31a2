#include "divs/comm/bucket_tuner.hpp"

#include <algorithm>
#include <cmath>

namespace divs::comm {

SumCost fit_sum_cost(std::span<const BucketReducer::Timing> samples) {
    double n = 0, x = 0, y = 0, xx = 0, xy = 0;
    for (const auto& sample : samples) {
        const auto bytes = static_cast<double>(sample.bytes);
        n += 1;
        x += bytes;
        y += sample.seconds;
        xx += bytes * bytes;
        xy += bytes * sample.seconds;
    }
    if (n == 0) return {};
    const double spread = n * xx - x * x;
    const SumCost through_zero{0, xx > 0 ? std::max(xy / xx, 0.0) : 0};
    if (spread <= 1e-9 * n * xx) return through_zero;
    const double slope = (n * xy - x * y) / spread, start = (y - slope * x) / n;
    if (slope < 0) return {y / n, 0};
    return start < 0 ? through_zero : SumCost{start, slope};
}

double exposed_seconds(const SumCost& cost, std::size_t total_bytes, double backward_seconds,
                       std::size_t bucket_bytes) {
    const auto total = static_cast<double>(total_bytes),
               bucket = static_cast<double>(std::max<std::size_t>(bucket_bytes, 1));
    double filled = 0, free = 0;  // bytes that are final; when the link is free
    while (filled < total) {
        const double bytes = std::min(bucket, total - filled);
        filled += bytes;
        free = std::max(free, backward_seconds * filled / total) + cost.seconds(bytes);
    }
    return std::max(free - backward_seconds, 0.0);
}

BucketProposal propose_buckets(const SumCost& cost, std::size_t total_bytes, double backward_seconds) {
    constexpr std::size_t shortest = std::size_t{64} << 10;
    std::vector<BucketProposal> candidates;
    double least = INFINITY;
    for (std::size_t bytes = shortest;; bytes *= 2) {
        const std::size_t length = std::min(bytes, std::max(total_bytes, shortest));
        candidates.push_back({length, std::max(length / 4, std::min(length, shortest)),
                              exposed_seconds(cost, total_bytes, backward_seconds, length)});
        least = std::min(least, candidates.back().exposed_seconds);
        if (bytes >= total_bytes) break;
    }
    const auto good = [&](const BucketProposal& p) { return p.exposed_seconds <= least * 1.02 + 20e-6; };
    return *std::find_if(candidates.rbegin(), candidates.rend(), good);
}

}  // namespace divs::comm
