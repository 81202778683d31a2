#include "divs/train/feed.hpp"

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "divs/core/clock.hpp"
#include "divs/core/error.hpp"

namespace divs::train {

ClipFeed::ClipFeed(const video::Catalogue& catalogue, FeedOptions options, NextLease next_lease)
    : catalogue_(catalogue), options_(std::move(options)), next_lease_(std::move(next_lease)) {
    for (int i = 0; i < options_.threads; ++i) threads_.emplace_back([this] { work(); });
}

ClipFeed::~ClipFeed() {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    room_.notify_all();
    woken_.notify_all();
}

void ClipFeed::wake() {
    std::lock_guard lock(mutex_);
    ++wakes_;
    idle_ = 0;
    woken_.notify_all();
}

std::optional<video::Clip> ClipFeed::pop() {
    std::unique_lock lock(mutex_);
    filled_.wait(lock, [&] { return failure_ || !clips_.empty() || idle_ == options_.threads; });
    if (failure_) std::rethrow_exception(failure_);
    if (clips_.empty()) return std::nullopt;
    video::Clip clip = std::move(clips_.front());
    clips_.pop_front();
    held_ -= clip.bytes();
    room_.notify_all();
    return clip;
}

bool ClipFeed::push(video::Clip clip) {
    const std::size_t bytes = clip.bytes();
    std::unique_lock lock(mutex_);
    room_.wait(lock, [&] {
        return stopping_ || clips_.empty() ||
               (held_ + bytes <= options_.queue_bytes && clips_.size() < options_.queue_clips);
    });
    if (stopping_) return false;
    held_ += bytes;
    peak_ = std::max(peak_, held_);
    clips_.push_back(std::move(clip));
    filled_.notify_one();
    return true;
}

FeedCounts ClipFeed::counts() const {
    std::lock_guard lock(mutex_);
    return counts_;
}

std::size_t ClipFeed::peak_bytes() const {
    std::lock_guard lock(mutex_);
    return peak_;
}

void ClipFeed::work() {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
        const std::uint64_t seen = wakes_;
        lock.unlock();
        std::exception_ptr failure;
        bool worked = false;
        try {
            if (const auto lease = next_lease_()) {
                worked = true;
                read(*lease);
            }
        } catch (...) {
            failure = std::current_exception();
        }
        lock.lock();
        if (failure) failure_ = failure;
        if (worked && !failure) continue;
        if (seen == wakes_) ++idle_;
        filled_.notify_all();
        woken_.wait(lock, [&] { return stopping_ || wakes_ != seen; });
    }
}

void ClipFeed::account(const video::DecodeCounts& read) {
    std::lock_guard lock(mutex_);
    counts_.decode += read;
}

void ClipFeed::read(const Lease& lease) {
    const video::VideoIndex& file = catalogue_.files[catalogue_.shards[lease.shard].file];
    if (options_.activity) options_.activity(fmt::format("video {} shard {}", file.path, lease.shard));
    std::unordered_set<std::uint64_t> owed(lease.samples.begin(), lease.samples.end());
    try {
        Stopwatch watch;
        video::ClipReader reader(catalogue_, lease.shard, lease.samples, options_.reader, options_.view,
                                 lease.packed);
        for (video::Clip clip; reader.next(clip); watch.lap()) {  // waiting for room in the queue is not work
            const double seconds = watch.lap();
            const double extra = seconds * (slowdown_ - 1);
            sleep_seconds(extra);
            {
                std::lock_guard lock(mutex_);
                ++counts_.clips;
                counts_.seconds += seconds + extra;
            }
            owed.erase(clip.sample);
            if (!push(std::move(clip))) return;
            clip = {};
        }
        account(reader.counts());
    } catch (const InputError& e) {
        // The file's fault: its samples are skipped with the reason, and the run goes on.
        for (const std::uint64_t sample : lease.samples) {
            if (!owed.contains(sample)) continue;
            video::Clip skipped;
            skipped.sample = sample;
            skipped.skipped = e.what();
            if (!push(std::move(skipped))) return;
        }
    }
}

}  // namespace divs::train
