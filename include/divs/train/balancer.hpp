// The scheduler of a training job: rank 0's side, this rank's side, and their conversation beside the steps.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "divs/comm/world.hpp"
#include "divs/sched/agent.hpp"
#include "divs/sched/conversation.hpp"
#include "divs/sched/scheduler.hpp"
#include "divs/train/epoch.hpp"
#include "divs/train/settings.hpp"

namespace divs::train {

class Balancer {
  public:
    // shards: all of the split. holders: ranks that can read each shard, by shard id; empty: all can.
    Balancer(comm::World& world, const Settings& settings, const video::Catalogue& catalogue,
             std::vector<sched::Shard> shards, std::vector<std::vector<int>> holders);

    sched::Agent& agent() noexcept { return *agent_; }

    // Who reads what in an epoch, `samples` being what is left of it: ascending, or in the order of use where
    // the order is global. Collective.
    sched::Assignment assign(const std::vector<std::uint64_t>& samples, std::uint64_t epoch);

    // This rank's own time of one step; see sched::Round.
    void measured(const sched::Round& round) { meter_.add(round); }

    // Whether after_step() makes use of what was measured so far, that step included. All ranks say the same.
    bool uses_times(std::int64_t step) const;
    // After step `step` of the run (from 0): starts, carries on or ends a conversation. Gives the decision
    // that took effect now, if any.
    std::optional<sched::Decision> after_step(std::int64_t step, Epoch& epoch);
    // Before an epoch is left: waits for messages under way; what they would decide is dropped, equally on
    // all ranks.
    void end_epoch();

    double imbalance() const noexcept { return imbalance_; }  // by the last decision

  private:
    bool reports(std::int64_t step) const;

    comm::World& world_;
    const Settings& settings_;
    const video::Catalogue& catalogue_;
    const std::vector<std::vector<int>> holders_;
    std::unique_ptr<sched::Scheduler> scheduler_;  // rank 0 alone
    std::unique_ptr<sched::Agent> agent_;
    sched::ThroughputMeter meter_;
    std::unique_ptr<sched::Conversation<comm::World>> talk_;
    double imbalance_ = 0;
};

}  // namespace divs::train
