// One epoch of a rank: the leases it holds, the clips of each step, and what the scheduler changes about
// both.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "divs/comm/world.hpp"
#include "divs/sched/agent.hpp"
#include "divs/train/loader.hpp"
#include "divs/train/settings.hpp"

namespace divs::train {

// The shards that still hold any of `samples`, as the scheduler sees them.
std::vector<sched::Shard> shards_with(const video::Catalogue& catalogue,
                                      const std::vector<std::uint64_t>& samples);

// Order global: shards in the order in which their samples are needed, each to the rank that would finish its
// share first, so that every stretch of the order is decoded by all ranks together.
sched::Assignment spread_in_order(const video::Catalogue& catalogue, const std::vector<std::uint64_t>& order,
                                  const std::vector<sched::RankModel>& ranks,
                                  const std::vector<std::vector<int>>& holders, std::uint64_t epoch);

class Epoch {
  public:
    struct Options {
        const Settings& settings;
        const video::Catalogue& catalogue;
        comm::World& world;
        FeedOptions feed;
    };

    // samples: what is left of the epoch, over all ranks: ascending, or in the order of use where the order
    // is global. assignment: who reads which shard, see Balancer::assign.
    Epoch(Options options, sched::Agent& agent, std::uint64_t epoch,
          const std::vector<std::uint64_t>& samples, const sched::Assignment& assignment);

    bool finished() const { return agent_.samples_left_everywhere() == 0; }
    std::vector<int> shares() const;  // of the next step, samples a rank
    StepClips take(const std::vector<int>& shares);
    void done(const std::vector<int>& shares) { agent_.done(shares); }

    // Samples beyond the coming steps that this rank cannot give away: its reservoir, or all in a global
    // order.
    std::uint64_t ahead() const;
    // Moves leases as decided; where storage is local the packets travel. Collective.
    void apply(const sched::Decision& decision);

    FeedCounts counts() const { return feed_->counts(); }
    std::size_t peak_bytes() const { return feed_->peak_bytes(); }
    void slow_down(double factor) { feed_->slow_down(factor); }

  private:
    std::optional<Lease> next_lease();
    void send_shards(const std::vector<sched::Move>& given);

    const Options options_;
    sched::Agent& agent_;
    std::unordered_map<std::uint32_t, std::vector<std::uint64_t>> samples_of_;  // by shard; never changes
    std::mutex mutex_;                                                          // of packed_
    std::unordered_map<std::uint32_t, std::vector<std::byte>> packed_;          // received, not yet started
    std::unique_ptr<ClipFeed> feed_;
    std::unique_ptr<LocalLoader> local_;
    std::unique_ptr<GlobalLoader> global_;
};

}  // namespace divs::train
