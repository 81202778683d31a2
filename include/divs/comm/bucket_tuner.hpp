// How long buckets should be, from what the first steps measured. Pure functions.
#pragma once

#include <cstddef>
#include <span>

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

struct BucketProposal {
    std::size_t bucket_bytes = 0, first_bytes = 0;
    double exposed_seconds = 0;  // by the model above
};

// The bucket length, of powers of two from 64 KiB to the whole, with the least exposed time; among those
// within 2 % (and 20 us) of it the longest, which costs the least processor time.
BucketProposal propose_buckets(const SumCost& cost, std::size_t total_bytes, double backward_seconds);

}  // namespace divs::comm
