#include "divs/comm/bucket_tuner.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

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

void keep_shortest(World& world, std::vector<BucketReducer::Timing>& samples) {
    const auto size = static_cast<double>(samples.size());
    std::array<double, 2> sizes{size, -size};
    world.maximum(std::span<double>(sizes), "timings of buckets").wait();
    if (sizes[0] != -sizes[1]) return;
    std::vector<double> negative;
    for (const auto& sample : samples) negative.push_back(-sample.seconds);
    world.maximum(std::span(negative), "timings of buckets").wait();
    for (std::size_t i = 0; i < samples.size(); ++i) samples[i].seconds = -negative[i];
}

std::optional<BucketProposal> BucketTuner::after_step(World& world, const BucketReducer& reducer,
                                                      std::size_t total_bytes, double seconds) {
    if (!measures()) return std::nullopt;
    if (++done_ > warm_up_) {
        timings_.insert(timings_.end(), reducer.timings().begin(), reducer.timings().end());
        // Of forward and backward together, backward is about two thirds.
        backward_seconds_ += seconds * 2 / 3 / (steps_ - warm_up_);
    }
    if (done_ < steps_) return std::nullopt;
    keep_shortest(world, timings_);
    world.sum(std::span(&backward_seconds_, 1), "backward seconds").wait();
    backward_seconds_ /= world.size();
    BucketProposal proposal = propose_buckets(fit_sum_cost(timings_), total_bytes, backward_seconds_);
    std::array<std::uint64_t, 2> lengths{proposal.bucket_bytes, proposal.first_bytes};
    world.broadcast(std::as_writable_bytes(std::span(lengths)), 0, "bucket lengths").wait();
    proposal.bucket_bytes = lengths[0];
    proposal.first_bytes = lengths[1];
    return proposal;
}

}  // namespace divs::comm
