#include "divs/analyze/analysis.hpp"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <numeric>

#include "divs/core/clock.hpp"
#include "divs/core/error.hpp"
#include "divs/sched/partition.hpp"
#include "wire.hpp"

namespace divs::analyze {
namespace {

// One rank's work on one round's shards.
class Worker {
  public:
    Worker(train::Classifier& classifier, const video::Catalogue& catalogue, const AnalysisOptions& options,
           double slowdown)
        : classifier_(classifier), catalogue_(catalogue), options_(options), slowdown_(slowdown) {}

    void run(const std::vector<std::uint32_t>& shards) {
        Stopwatch watch;
        std::mutex mutex;
        std::size_t next = 0;
        train::ClipFeed feed(catalogue_, options_.feed, [&]() -> std::optional<train::Lease> {
            std::lock_guard lock(mutex);
            if (next == shards.size()) return std::nullopt;
            const std::uint32_t shard = shards[next++];
            return train::Lease{shard, catalogue_.shard_samples[shard], {}};
        });
        feed.slow_down(slowdown_);
        while (auto clip = feed.pop()) {
            if (!clip->skipped.empty()) {
                part_.skipped.emplace_back(clip->sample, clip->skipped);
                continue;
            }
            waiting_.push_back(std::move(*clip));
            arrived_.push_back(now_seconds());
            if (waiting_.size() == static_cast<std::size_t>(options_.batch)) predict();
        }
        if (!waiting_.empty()) predict();
        part_.frames += feed.counts().decode.frames;
        part_.seconds += watch.seconds();
    }

    Part take() { return std::exchange(part_, {}); }

  private:
    void predict() {
        // A short batch is filled up, so that results do not depend on who has how many.
        auto scores = classifier_.scores(waiting_, static_cast<std::size_t>(options_.batch));
        for (std::size_t i = 0; i < waiting_.size(); ++i) {
            part_.results.push_back({waiting_[i].sample, std::move(scores[i])});
            part_.latencies.push_back(now_seconds() - arrived_[i]);
        }
        waiting_.clear();
        arrived_.clear();
    }

    train::Classifier& classifier_;
    const video::Catalogue& catalogue_;
    const AnalysisOptions& options_;
    const double slowdown_;
    std::vector<video::Clip> waiting_;
    std::vector<double> arrived_;
    Part part_;
};

// Shards, longest stretch of video first within a file's order, as the planner sees them.
std::vector<sched::Shard> planned(const video::Catalogue& catalogue, std::size_t begin, std::size_t end) {
    std::vector<sched::Shard> shards;
    for (std::size_t i = begin; i < end; ++i) {
        const video::Shard& shard = catalogue.shards[i];
        shards.push_back({shard.id, std::max<std::uint64_t>(shard.frames, 1), shard.bytes, 1});
    }
    return shards;
}

// Rounds of shards: about as many frames in each.
std::vector<std::size_t> round_ends(const video::Catalogue& catalogue, int rounds, int ranks) {
    // A single rank needs no plan, and a round needs a shard for every rank.
    const auto most = std::max<std::size_t>(1, catalogue.shards.size() / static_cast<std::size_t>(2 * ranks));
    const std::size_t count = ranks == 1 ? 1 : std::min(static_cast<std::size_t>(rounds), most);
    std::vector<std::size_t> ends;
    for (std::size_t round = 1; round <= count; ++round)
        ends.push_back(catalogue.shards.size() * round / count);
    return ends;
}

void add_figures(const Part& part, RankFigures& figures, std::vector<double>& latencies) {
    figures.windows += part.results.size();
    figures.skipped += part.skipped.size();
    figures.frames += part.frames;
    figures.seconds += part.seconds;
    latencies.insert(latencies.end(), part.latencies.begin(), part.latencies.end());
}

}  // namespace

Analysis analyze(train::Classifier& classifier, comm::World& world, const video::Catalogue& catalogue,
                 const AnalysisOptions& options) {
    const auto ranks = static_cast<std::size_t>(world.size());
    const auto me = static_cast<std::size_t>(world.rank());
    Worker worker(classifier, catalogue, options, options.slowdown.empty() ? 1 : options.slowdown[me]);
    std::vector<sched::RankModel> speeds(ranks, {.seconds_per_unit = 1});
    Analysis analysis;
    analysis.ranks.resize(ranks);
    std::vector<std::vector<double>> latencies(ranks);
    std::size_t begin = 0;
    for (const std::size_t end : round_ends(catalogue, options.rounds, world.size())) {
        const auto shards = planned(catalogue, begin, end);
        const sched::Partition partition = sched::greedy_partition(shards, speeds);
        std::vector<std::uint32_t> mine;
        for (std::size_t i = 0; i < shards.size(); ++i)
            if (partition.owner[i] == world.rank()) mine.push_back(shards[i].id);
        worker.run(mine);
        // Every rank hears what all did, so all plan the next round alike.
        const Part part = worker.take();
        const auto heard = world.all_gather(pack_speed(part), "speeds");
        for (std::size_t rank = 0; rank < ranks; ++rank) {
            const Speed speed = unpack_speed(heard[rank]);
            if (speed.frames > 0 && speed.seconds > 0)
                speeds[rank].seconds_per_unit = speed.seconds / static_cast<double>(speed.frames);
        }
        const auto parts = world.gather(pack(part), 0, "results");
        for (std::size_t rank = 0; rank < parts.size(); ++rank) {
            Part received = unpack(parts[rank]);
            add_figures(received, analysis.ranks[rank], latencies[rank]);
            std::move(received.results.begin(), received.results.end(), std::back_inserter(analysis.results));
            std::move(received.skipped.begin(), received.skipped.end(), std::back_inserter(analysis.skipped));
        }
        begin = end;
    }
    for (std::size_t rank = 0; rank < ranks; ++rank) {
        auto& all = latencies[rank];
        if (all.empty()) continue;
        std::sort(all.begin(), all.end());
        analysis.ranks[rank].latency_median = all[all.size() / 2];
        analysis.ranks[rank].latency_worst = all.back();
    }
    std::sort(analysis.results.begin(), analysis.results.end(),
              [](const auto& a, const auto& b) { return a.window < b.window; });
    std::sort(analysis.skipped.begin(), analysis.skipped.end());
    return analysis;
}

}  // namespace divs::analyze
