#include "divs/train/balancer.hpp"

#include <algorithm>

#include "divs/core/build_info.hpp"

namespace divs::train {
namespace {

// Where ranks share cores with their decoders, decode and compute add up; with a core to spare they run side
// by side.
double decode_overlap(const comm::World& world, const Settings& settings) {
    const double cores = static_cast<double>(usable_cores()) / world.local_size();
    const double wanted = settings.model.threads + settings.data.decode_threads;
    return cores >= wanted ? 1.0 : 0.0;
}

sched::SchedulerOptions options_for(const comm::World& world, const Settings& settings) {
    sched::SchedulerOptions options = settings.scheduler;
    options.cluster.clear();
    for (int rank = 0; rank < world.size(); ++rank) options.cluster.push_back(world.cluster(rank));
    return options;
}

}  // namespace

Balancer::Balancer(comm::World& world, const Settings& settings, const video::Catalogue& catalogue,
                   std::vector<sched::Shard> shards, std::vector<std::vector<int>> holders)
    : world_(world),
      settings_(settings),
      catalogue_(catalogue),
      holders_(std::move(holders)),
      meter_(16, decode_overlap(world, settings)) {
    const sched::SchedulerOptions options = options_for(world, settings);
    agent_ = std::make_unique<sched::Agent>(
        world.rank(), world.size(), shards,
        sched::ShareTracker(world.size(), options.quantum, options.global_order, options.largest_share));
    if (world.rank() == 0)
        scheduler_ = std::make_unique<sched::Scheduler>(world.size(), std::move(shards), options);
    talk_ = std::make_unique<sched::Conversation<comm::World>>(
        world, options.lag,
        scheduler_ ? [this](auto reports) { return scheduler_->decide(reports); }
                   : sched::Conversation<comm::World>::Decide());
}

sched::Assignment Balancer::assign(const std::vector<std::uint64_t>& samples, std::uint64_t epoch) {
    std::vector<std::byte> bytes;
    if (scheduler_) {
        const RunSettings& run = settings_.run;
        if (run.order == Order::global) {
            std::vector<std::uint64_t> ascending = samples;
            std::sort(ascending.begin(), ascending.end());
            scheduler_->begin_epoch(shards_with(catalogue_, ascending));
            bytes = spread_in_order(catalogue_, samples, scheduler_->models(), holders_, epoch).pack();
        } else {
            const auto shards = shards_with(catalogue_, samples);
            std::vector<std::vector<int>> holders;
            if (!holders_.empty())
                for (const auto& shard : shards) holders.push_back(holders_[shard.id]);
            bytes = scheduler_->assign(shards, run.seed, epoch, holders).pack();
        }
    }
    return sched::Assignment::unpack(world_.broadcast(std::move(bytes), 0, "assignment"));
}

bool Balancer::reports(std::int64_t step) const {
    const sched::SchedulerOptions& options = settings_.scheduler;
    return options.enabled &&
           talk_->due(step, options.interval, agent_->samples_left_everywhere(), settings_.run.batch);
}

bool Balancer::uses_times(std::int64_t step) const {
    return world_.size() > 1 && (talk_->ends(step) || reports(step));
}

std::optional<sched::Decision> Balancer::after_step(std::int64_t step, Epoch& epoch) {
    if (world_.size() == 1) return std::nullopt;
    const sched::SchedulerOptions& options = settings_.scheduler;
    auto decision = talk_->after_step(step);
    if (!decision && reports(step)) {
        talk_->begin(step, agent_
                               ->report(static_cast<std::uint64_t>(step), options.lag, settings_.run.batch,
                                        epoch.ahead(), meter_)
                               .pack());
        decision = talk_->after_step(step);
    }
    if (!decision) return std::nullopt;
    epoch.apply(*decision);
    meter_.mark();
    imbalance_ = decision->imbalance;
    return decision;
}

void Balancer::end_epoch() {
    talk_->end();
}

}  // namespace divs::train
