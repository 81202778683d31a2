// Gradient buckets: ranges of the gradient arena, filled from the last layer backwards, each reduced as soon
// as it is full while earlier layers still compute (Li et al., "PyTorch Distributed", VLDB 2020).
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "divs/comm/bucket_sum.hpp"
#include "divs/comm/world.hpp"

namespace divs::comm {

// Cuts an arena of `size` elements into buckets of about `bucket_bytes`, from the end backwards, at the given
// boundaries (starts of parameters, ascending). The first bucket to fill (the last in the arena) is kept at
// most `first_bytes`, so that reduction starts early. A bucket is longer than asked only where one parameter
// is: parameters are never cut.
std::vector<Range> plan_buckets(std::span<const std::size_t> boundaries, std::size_t size,
                                std::size_t bucket_bytes, std::size_t first_bytes);

// Which buckets are full: pure bookkeeping of a step.
class BucketCursor {
  public:
    // Buckets that cover the arena [0, size) once, in descending order; otherwise ConfigError.
    BucketCursor(std::vector<Range> buckets, std::size_t size);

    const std::vector<Range>& buckets() const noexcept { return buckets_; }

    // Everything from range.begin up is final. ConfigError where the range lies above one announced before.
    void announce(Range range);
    // The next full bucket, in order; each once.
    std::optional<Range> take();
    // All of the arena is final.
    void announce_all() noexcept { low_ = 0; }
    void restart() noexcept;

  private:
    std::vector<Range> buckets_;
    std::size_t size_, low_, next_ = 0;
};

class BucketReducer {
  public:
    using Timing = BucketSum::Timing;

    // The buckets go by the given path; with overlap off, all are posted at the end of the step.
    BucketReducer(World& world, std::unique_ptr<BucketSum> sum, std::vector<Range> buckets,
                  bool overlap = true);
    // By MPI, from host memory.
    BucketReducer(World& world, std::span<float> gradients, std::vector<Range> buckets, bool overlap = true);
    BucketReducer(const BucketReducer&) = delete;

    // A range of the arena is final (called in descending order). Posts every bucket that it completes.
    void ready(Range range);
    // All of the arena is final, announced or not. What reads the gradients from here on reads the sums: host
    // memory is waited for, a device waits by itself. `values`: see BucketSum.
    void join(std::span<double> values = {});
    // Waits until the communication of a step has ended well: of the one that was joined and not finished, or
    // else of this one, which is joined. Seconds in which nothing was computed because of it: exposed
    // communication, values_seconds() left out. A step may be finished once the next one is posted, before
    // that one is joined.
    double finish();

    // See BucketSum.
    bool sums_values() const noexcept { return sum_->sums_values(); }
    void sum(std::span<double> values) { sum_->sum(values); }

    void replan(std::vector<Range> buckets);  // between steps, none of them unfinished
    const std::vector<Range>& buckets() const noexcept { return cursor_.buckets(); }

    // Of the last finished step.
    double busy_seconds() const noexcept { return busy_; }                    // communication, exposed or not
    double values_seconds() const noexcept { return values_; }                // exposed by sum()
    const std::vector<Timing>& timings() const noexcept { return timings_; }  // a bucket each, in order

  private:
    void post_full();

    World& world_;
    std::unique_ptr<BucketSum> sum_;
    BucketCursor cursor_;
    bool overlap_;
    bool filling_ = false, joined_ = false;  // a step each
    std::vector<Timing> timings_;
    double busy_ = 0, values_ = 0;
};

}  // namespace divs::comm
