// The decode stage of a rank: threads that turn leased shards into clips, and a bounded queue of what they
// made.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "divs/core/ledger.hpp"
#include "divs/video/clips.hpp"

namespace divs::train {

// The right to train on some samples of a shard this epoch.
struct Lease {
    std::uint32_t shard = 0;
    std::vector<std::uint64_t> samples;
    std::vector<std::byte>
        packed;  // the shard's packets where they came from another rank; empty: read the file
};

struct FeedOptions {
    int threads = 1;
    std::size_t queue_bytes = 256 << 20;
    std::size_t queue_clips = SIZE_MAX;  // the reader stays this near, so that shards further on can still move
    video::ClipReaderOptions reader;
    video::ClipReader::ViewOf view;                    // none: whole pictures
    std::function<void(const std::string&)> activity;  // told which video is being read
};

struct FeedCounts {
    video::DecodeCounts decode;
    std::uint64_t clips = 0;
    double seconds = 0;  // spent decoding and converting, summed over the threads
};

class ClipFeed {
  public:
    // The next lease to read, called from the decode threads; nothing when there is none now. It is asked
    // again after wake().
    using NextLease = std::function<std::optional<Lease>()>;

    ClipFeed(const video::Catalogue& catalogue, FeedOptions options, NextLease next_lease);
    ~ClipFeed();
    ClipFeed(const ClipFeed&) = delete;

    void wake();  // there may be leases again

    // The next clip, good or skipped; waits while any thread may still bring one. Nothing when there is no
    // lease to read and all that was read is taken. A failure that is not the video's (out of memory, for
    // one) is thrown here.
    std::optional<video::Clip> pop();

    FeedCounts counts() const;
    std::size_t peak_bytes() const;
    void slow_down(double factor) noexcept { slowdown_ = factor; }  // all work takes `factor` times as long

  private:
    void work();
    void read(const Lease& lease);
    void account(const video::DecodeCounts& read);
    bool push(video::Clip clip);  // false when the feed is being destroyed

    const video::Catalogue& catalogue_;
    const FeedOptions options_;
    const NextLease next_lease_;
    std::atomic<double> slowdown_{1};

    mutable std::mutex mutex_;
    std::condition_variable room_, filled_, woken_;
    std::deque<video::Clip> clips_;
    std::size_t held_ = 0, peak_ = 0;  // bytes
    std::uint64_t wakes_ = 0;
    int idle_ = 0;  // threads that found no lease since the last wake
    std::exception_ptr failure_;
    bool stopping_ = false;
    FeedCounts counts_;
    std::vector<std::jthread> threads_;  // last: they use all of the above
};

}  // namespace divs::train
