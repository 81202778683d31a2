// Gradient buckets: ranges of the gradient arena, filled from the last layer backwards, each reduced as soon
// as it is full while earlier layers still compute (Li et al., "PyTorch Distributed", VLDB 2020).
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "divs/comm/world.hpp"

namespace divs::comm {

struct Range {
    std::size_t begin = 0, end = 0;  // elements
};

// Cuts an arena of `size` elements into buckets of about `bucket_bytes`, from the end backwards, at the given
// boundaries (starts of parameters, ascending). The first bucket to fill (the last in the arena) is kept at
// most `first_bytes`, so that reduction starts early.
std::vector<Range> plan_buckets(std::span<const std::size_t> boundaries, std::size_t size,
                                std::size_t bucket_bytes, std::size_t first_bytes);

class BucketReducer {
  public:
    BucketReducer(World& world, std::span<float> gradients, std::vector<Range> buckets, bool overlap = true);

    // A range of the arena is final (called in descending order). Posts every bucket that it completes; with
    // overlap off, all are posted by finish().
    void ready(Range range);
    // Waits for all buckets of the step. Seconds that the wait blocked: exposed communication.
    double finish();

    void replan(std::vector<Range> buckets);  // between steps
    double busy_seconds() const noexcept;     // the last step's communication, exposed or not

  private:
    World& world_;
    std::span<float> gradients_;
    std::vector<Range> buckets_;
    bool overlap_;
    std::size_t next_ = 0, low_;
    std::vector<Work> works_;
    double busy_ = 0;
};

}  // namespace divs::comm
