// How long buckets should be, from what the first steps measured: pure functions, and the measuring.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "divs/comm/buckets.hpp"

namespace divs::comm {

// Seconds of one sum: start + bytes * per_byte.
struct SumCost {
    double start = 0, per_byte = 0;

    double seconds(double bytes) const noexcept { return start + bytes * per_byte; }
};

// The least squares line through (bytes, seconds), neither part of it negative. Where all lengths are equal
// the cost is taken to be proportional to bytes. Without samples: zero.
SumCost fit_sum_cost(std::span<const BucketReducer::Timing> samples);

// Seconds of communication that stick out behind a backward pass of `backward_seconds`, if `total_bytes`
// become final at a steady rate and go in buckets of `bucket_bytes`, one after the other.
double exposed_seconds(const SumCost& cost, std::size_t total_bytes, double backward_seconds,
                       std::size_t bucket_bytes);

// Until something was measured: 4 MiB, the first 1 MiB.
struct BucketProposal {
    std::size_t bucket_bytes = std::size_t{4} << 20, first_bytes = std::size_t{1} << 20;
    double exposed_seconds = 0;  // by the model above
};

// The bucket length, of powers of two from 64 KiB to the whole, with the least exposed time; among those
// within 2 % (and 20 us) of it the longest, which costs the least processor time.
BucketProposal propose_buckets(const SumCost& cost, std::size_t total_bytes, double backward_seconds);

// What a sum costs is what it took the rank that came to it last: the others waited for that one as well. Each
// sample becomes the shortest of all ranks' where all have as many. Collective.
void keep_shortest(World& world, std::vector<BucketReducer::Timing>& samples);

// Measures the first steps of a job. Shares may still be uneven then: the backward pass counts as the mean over
// the ranks, which is what it comes to once they are balanced.
class BucketTuner {
  public:
    // The first `warm_up` of `steps` do not count.
    explicit BucketTuner(int steps = 8, int warm_up = 2) : steps_(steps), warm_up_(warm_up) {}

    // After each step; `seconds`: of its forward and backward pass. The lengths that all ranks are to use,
    // once, after the last step that is measured. Collective.
    std::optional<BucketProposal> after_step(World& world, const BucketReducer& reducer,
                                             std::size_t total_bytes, double seconds);
    int steps() const noexcept { return steps_; }
    bool measures() const noexcept { return done_ < steps_; }

  private:
    int steps_, warm_up_, done_ = 0;
    double backward_seconds_ = 0;
    std::vector<BucketReducer::Timing> timings_;
};

}  // namespace divs::comm
