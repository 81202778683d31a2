#include "divs/comm/buckets.hpp"

#include <algorithm>
#include <utility>

#include "divs/core/error.hpp"

namespace divs::comm {

std::vector<Range> plan_buckets(std::span<const std::size_t> boundaries, std::size_t size,
                                std::size_t bucket_bytes, std::size_t first_bytes) {
    std::vector<Range> buckets;
    std::size_t end = size;    // of the bucket being filled
    std::size_t begin = size;  // of what it holds so far
    const auto limit = [&] {
        return (buckets.empty() ? std::min(first_bytes, bucket_bytes) : bucket_bytes) / sizeof(float);
    };
    const auto close = [&] {
        if (begin < end) buckets.push_back({begin, end});
        end = begin;
    };
    for (std::size_t i = boundaries.size(); i-- > 0;) {
        const std::size_t start =
            i == 0 ? 0 : boundaries[i];  // what lies before the first parameter goes with it
        if (start >= begin) continue;    // parameters without elements
        if (end - start > limit()) close();
        begin = start;
    }
    close();
    if (end > 0) buckets.push_back({0, end});
    return buckets;
}

BucketCursor::BucketCursor(std::vector<Range> buckets, std::size_t size)
    : buckets_(std::move(buckets)), size_(size), low_(size) {
    std::size_t end = size;
    for (const Range& bucket : buckets_) {
        if (bucket.end != end || bucket.begin >= bucket.end)
            throw_error<ConfigError>("bucket {} to {}: expected a range that ends at {}", bucket.begin,
                                     bucket.end, end);
        end = bucket.begin;
    }
    if (end != 0) throw_error<ConfigError>("elements 0 to {} lie in no bucket", end);
}

void BucketCursor::announce(Range range) {
    if (range.end > low_ || range.begin > range.end)
        throw_error<ConfigError>("gradients {} to {} announced, expected a range that ends at or below {}",
                                 range.begin, range.end, low_);
    low_ = range.begin;
}

std::optional<Range> BucketCursor::take() {
    if (next_ == buckets_.size() || buckets_[next_].begin < low_) return std::nullopt;
    return buckets_[next_++];
}

void BucketCursor::restart() noexcept {
    low_ = size_;
    next_ = 0;
}

BucketReducer::BucketReducer(World& world, std::unique_ptr<BucketSum> sum, std::vector<Range> buckets,
                             bool overlap)
    : world_(world), sum_(std::move(sum)), cursor_(std::move(buckets), sum_->size()), overlap_(overlap) {}

BucketReducer::BucketReducer(World& world, std::span<float> gradients, std::vector<Range> buckets,
                             bool overlap)
    : BucketReducer(world, make_host_sum(world, gradients), std::move(buckets), overlap) {}

void BucketReducer::post_full() {
    while (const auto bucket = cursor_.take()) sum_->post(*bucket);
}

void BucketReducer::ready(Range range) {
    filling_ = true;
    cursor_.announce(range);
    if (!overlap_) return;
    post_full();
    world_.poll();
}

void BucketReducer::join(std::span<double> values) {
    if (joined_) throw Error("gradient buckets: a step is joined before the one before it is finished");
    cursor_.announce_all();
    post_full();
    sum_->join(values);
    cursor_.restart();
    filling_ = false;
    joined_ = true;
}

double BucketReducer::finish() {
    if (!joined_) join();
    BucketSum::Finished finished = sum_->finish();
    joined_ = false;
    timings_ = std::move(finished.timings);
    busy_ = 0;
    for (const Timing& timing : timings_) busy_ += timing.seconds;
    values_ = finished.values;
    return finished.exposed;
}

void BucketReducer::replan(std::vector<Range> buckets) {
    if (filling_ || joined_) throw_error<ConfigError>("buckets can change between steps only");
    cursor_ = BucketCursor(std::move(buckets), sum_->size());
}

}  // namespace divs::comm
