// Which clips this rank trains on in each step, in either order.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "divs/comm/world.hpp"
#include "divs/core/random.hpp"
#include "divs/train/feed.hpp"
#include "divs/video/clips.hpp"

namespace divs::train {

// What one step gets: good clips, and the samples that cannot be had.
struct StepClips {
    std::vector<video::Clip> clips;
    std::vector<video::Clip> skipped;
};

// Order local: clips of several leased shards are mixed in a bounded reservoir, from which a step draws at
// random, by (seed, epoch, number of the draw). Every clip that waits is as likely to be next, however long
// it has waited.
class LocalLoader {
  public:
    LocalLoader(ClipFeed& feed, int reservoir, std::uint64_t seed, std::uint64_t epoch);

    // `count` samples, good and skipped together. Waits for the decoder while the reservoir is not full and
    // more is to come. Throws where this rank's leases cannot give so many.
    StepClips take(int count);
    std::size_t capacity() const noexcept { return capacity_; }

  private:
    video::Clip draw();

    ClipFeed& feed_;
    const std::size_t capacity_;
    const Random random_;
    std::uint64_t drawn_ = 0;
    std::vector<video::Clip> reservoir_;
};

// The order of an epoch's samples as a function of (seed, epoch) alone: shards are shuffled, then samples
// within windows of at least `mix` samples' worth of shards, so that each shard is decoded once, near the
// place of its samples.
std::vector<std::uint64_t> global_order(const video::Catalogue& catalogue,
                                        const std::vector<std::uint64_t>& samples, int mix,
                                        std::uint64_t seed, std::uint64_t epoch);

// Order global: batch k is order[k B, (k + 1) B), whoever decoded its clips; they travel to the rank that
// trains on them. Every rank makes the same calls in the same order.
class GlobalLoader {
  public:
    // holder: rank that decodes each shard, by shard id.
    GlobalLoader(ClipFeed& feed, comm::World& world, const video::Catalogue& catalogue,
                 std::vector<std::uint64_t> order, std::vector<int> holder, int batch);
    GlobalLoader(const GlobalLoader&) = delete;
    ~GlobalLoader();  // waits for the clips that travel; on the way out of a failure it ends communication

    // This rank's part of the next batch; shares sum to the global batch. Clips for the batch after are
    // already travelling when this returns.
    StepClips take(const std::vector<int>& shares);
    std::uint64_t remaining() const noexcept { return order_.size() - next_; }  // of the whole job

  private:
    struct Transfer {
        std::vector<comm::Message> received;
        std::vector<video::Clip> kept;
        comm::Work work;
        std::size_t end = 0;
    };
    std::unique_ptr<Transfer> start(std::size_t begin, const std::vector<int>& shares);
    video::Clip wait_for(std::uint64_t sample);

    ClipFeed& feed_;
    comm::World& world_;
    const video::Catalogue& catalogue_;
    const std::vector<std::uint64_t> order_;
    const std::vector<int> holder_;
    const std::size_t batch_;
    std::size_t next_ = 0;
    std::unordered_map<std::uint64_t, video::Clip> decoded_;
    std::unique_ptr<Transfer> ahead_;
    int exceptions_;
};

}  // namespace divs::train
