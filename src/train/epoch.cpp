#include "divs/train/epoch.hpp"

#include <algorithm>
#include <cstring>
#include <limits>

#include "divs/core/error.hpp"

namespace divs::train {

std::vector<sched::Shard> shards_with(const video::Catalogue& catalogue,
                                      const std::vector<std::uint64_t>& samples) {
    std::vector<sched::Shard> shards;
    for (const std::uint64_t sample : samples) {  // ascending by shard
        const std::uint32_t id = catalogue.samples[sample].shard;
        if (shards.empty() || shards.back().id != id)
            shards.push_back({id, 0, catalogue.shards[id].bytes, 1});
        ++shards.back().samples;
    }
    return shards;
}

sched::Assignment spread_in_order(const video::Catalogue& catalogue, const std::vector<std::uint64_t>& order,
                                  const std::vector<sched::RankModel>& ranks,
                                  const std::vector<std::vector<int>>& holders, std::uint64_t epoch) {
    std::unordered_map<std::uint32_t, double> work;
    std::vector<std::uint32_t> needed;
    for (const std::uint64_t sample : order) {
        const std::uint32_t shard = catalogue.samples[sample].shard;
        if (++work[shard] == 1) needed.push_back(shard);
    }
    sched::Assignment assignment{epoch, std::vector<std::vector<std::uint32_t>>(ranks.size())};
    std::vector<double> finish(ranks.size());
    for (const std::uint32_t shard : needed) {
        std::size_t best = ranks.size();
        double earliest = std::numeric_limits<double>::infinity();
        for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
            if (!holders.empty() && std::find(holders[shard].begin(), holders[shard].end(),
                                              static_cast<int>(rank)) == holders[shard].end())
                continue;
            const double time = finish[rank] + work[shard] * ranks[rank].seconds_per_unit;
            if (time < earliest) {
                earliest = time;
                best = rank;
            }
        }
        if (best == ranks.size()) throw_error<Error>("shard {}: no rank holds its file", shard);
        finish[best] = earliest;
        assignment.leases[best].push_back(shard);
    }
    return assignment;
}

Epoch::Epoch(Options options, sched::Agent& agent, std::uint64_t epoch,
             const std::vector<std::uint64_t>& samples, const sched::Assignment& assignment)
    : options_(std::move(options)), agent_(agent) {
    const video::Catalogue& catalogue = options_.catalogue;
    const RunSettings& run = options_.settings.run;
    std::unordered_map<std::uint32_t, std::uint64_t> left;
    for (const std::uint64_t sample : samples) samples_of_[catalogue.samples[sample].shard].push_back(sample);
    for (const auto& [shard, ids] : samples_of_) left[shard] = ids.size();
    agent_.begin_epoch(assignment, left);
    const int share = agent_.shares(run.batch)[static_cast<std::size_t>(options_.world.rank())];
    FeedOptions feed = options_.feed;
    feed.queue_clips = static_cast<std::size_t>(2 * share + feed.threads);
    feed_ = std::make_unique<ClipFeed>(catalogue, feed, [this] { return next_lease(); });

    if (run.order == Order::local) {
        // What is in the reservoir cannot move to another rank: most of a small data set must stay outside it.
        const auto quarter = static_cast<int>(std::min<std::uint64_t>(agent_.samples_left() / 4, 1 << 30));
        const int reservoir = std::min(options_.settings.data.mix, std::max(2 * share, quarter));
        local_ = std::make_unique<LocalLoader>(*feed_, reservoir, run.seed, epoch);
        return;
    }
    std::vector<int> holder(catalogue.shards.size(), -1);
    for (std::size_t rank = 0; rank < assignment.leases.size(); ++rank)
        for (const std::uint32_t shard : assignment.leases[rank]) holder[shard] = static_cast<int>(rank);
    global_ = std::make_unique<GlobalLoader>(*feed_, options_.world, catalogue, samples, std::move(holder),
                                             run.batch);
}

std::vector<int> Epoch::shares() const {
    return agent_.shares(options_.settings.run.batch);
}

StepClips Epoch::take(const std::vector<int>& shares) {
    return local_ ? local_->take(shares[static_cast<std::size_t>(options_.world.rank())])
                  : global_->take(shares);
}

std::uint64_t Epoch::ahead() const {
    return local_ ? local_->capacity() : std::numeric_limits<std::uint32_t>::max();
}

std::optional<Lease> Epoch::next_lease() {
    const auto shard = agent_.start_next();
    if (!shard) return std::nullopt;
    Lease lease{*shard, samples_of_.at(*shard), {}};
    std::lock_guard lock(mutex_);
    if (auto packed = packed_.extract(*shard)) lease.packed = std::move(packed.mapped());
    return lease;
}

void Epoch::send_shards(const std::vector<sched::Move>& given) {
    std::vector<comm::Message> outgoing;
    for (const sched::Move& move : given) {
        const video::Shard& shard = options_.catalogue.shards[move.shard];
        std::vector<std::byte> packed;
        {
            std::lock_guard lock(mutex_);
            if (auto held = packed_.extract(move.shard)) packed = std::move(held.mapped());
        }
        if (packed.empty())
            packed = video::pack_shard(options_.catalogue.files[shard.file], shard,
                                       options_.feed.reader.decode.limits);
        std::vector<std::byte> bytes(sizeof move.shard);
        std::memcpy(bytes.data(), &move.shard, sizeof move.shard);
        bytes.insert(bytes.end(), packed.begin(), packed.end());
        outgoing.push_back({move.to, std::move(bytes)});
    }
    std::vector<comm::Message> received;
    options_.world.exchange(std::move(outgoing), received, "shards").wait();
    for (comm::Message& message : received) {
        std::uint32_t shard = 0;
        if (message.bytes.size() <= sizeof shard)
            throw_error<CommunicationError>("a shard from rank {} is empty", message.peer);
        std::memcpy(&shard, message.bytes.data(), sizeof shard);
        message.bytes.erase(message.bytes.begin(), message.bytes.begin() + sizeof shard);
        std::lock_guard lock(mutex_);
        packed_[shard] = std::move(message.bytes);
    }
}

void Epoch::apply(const sched::Decision& decision) {
    const sched::Agent::Changes changes = agent_.apply(decision);
    if (!decision.moves.empty() && options_.settings.scheduler.storage == sched::Storage::local)
        send_shards(changes.given);
    feed_->wake();
}

}  // namespace divs::train
