#include "divs/sched/partition.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <queue>
#include <utility>

#include "divs/core/error.hpp"

namespace divs::sched {
namespace {

constexpr double class_ratio = 0.75;  // smallest to largest shard of one class of size
constexpr double slack = 1e-9;        // relative, for sums of doubles against capacities

struct SizeClass {
    double largest = 0;               // units
    std::vector<std::size_t> shards;  // in the order given
};

// Large to small.
std::vector<SizeClass> classes_of(std::span<const Shard> shards) {
    std::vector<std::size_t> order(shards.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::stable_sort(order, std::greater{}, [&](std::size_t i) { return shards[i].work(); });
    std::vector<SizeClass> classes;
    for (std::size_t i : order) {
        if (classes.empty() || shards[i].work() < class_ratio * classes.back().largest)
            classes.push_back({shards[i].work(), {}});
        classes.back().shards.push_back(i);
    }
    for (SizeClass& c : classes) std::ranges::sort(c.shards);
    return classes;
}

bool fits(const RankModel& rank, double work, double more) noexcept {
    return work + more <= rank.capacity * (1 + slack);
}

void require_usable(std::span<const RankModel> ranks, std::size_t shards) {
    if (shards && std::ranges::none_of(ranks, &RankModel::usable))
        throw_error<ConfigError>("scheduler: {} shards but none of {} ranks can take work", shards,
                                 ranks.size());
}

[[noreturn]] void no_room(const Shard& shard) {
    throw_error<ConfigError>(
        "scheduler: shard {} ({:.0f} units of work) fits into no rank: raise the capacities or cut "
        "smaller shards",
        shard.id, shard.work());
}

Partition start_from(std::span<const Shard> shards, std::span<const RankModel> ranks,
                     std::span<const double> initial) {
    Partition result;
    result.owner.assign(shards.size(), -1);
    result.work.assign(ranks.size(), 0);
    std::ranges::copy(initial, result.work.begin());
    return result;
}

// Ranks by the time at which they would finish one more shard of the class.
using Entry = std::pair<double, std::size_t>;
using Heap = std::priority_queue<Entry, std::vector<Entry>, std::greater<>>;

void place_class(const SizeClass& sizes, std::span<const Shard> shards, std::span<const RankModel> ranks,
                 Partition& result) {
    Heap heap;
    const auto finish = [&](std::size_t r) { return ranks[r].time(result.work[r] + sizes.largest); };
    for (std::size_t r = 0; r < ranks.size(); ++r)
        if (ranks[r].usable() && fits(ranks[r], result.work[r], class_ratio * sizes.largest))
            heap.emplace(finish(r), r);
    std::vector<Entry> aside;
    for (std::size_t i : sizes.shards) {
        const double work = shards[i].work();
        aside.clear();
        while (!heap.empty() && !fits(ranks[heap.top().second], result.work[heap.top().second], work)) {
            aside.push_back(heap.top());
            heap.pop();
        }
        if (heap.empty()) no_room(shards[i]);
        const std::size_t r = heap.top().second;
        heap.pop();
        result.owner[i] = static_cast<int>(r);
        result.work[r] += work;
        if (fits(ranks[r], result.work[r], class_ratio * sizes.largest)) heap.emplace(finish(r), r);
        for (const Entry& entry : aside) heap.push(entry);
    }
}

}  // namespace

double RankModel::time(double work) const noexcept {
    return work > 0 ? overhead + work * seconds_per_unit : 0;
}

bool RankModel::usable() const noexcept {
    return seconds_per_unit > 0 && std::isfinite(seconds_per_unit) && std::isfinite(overhead) && capacity > 0;
}

double makespan(std::span<const RankModel> ranks, std::span<const double> work) {
    double slowest = 0;
    for (std::size_t r = 0; r < ranks.size(); ++r) slowest = std::max(slowest, ranks[r].time(work[r]));
    return slowest;
}

Partition greedy_partition(std::span<const Shard> shards, std::span<const RankModel> ranks,
                           std::span<const double> initial) {
    require_usable(ranks, shards.size());
    Partition result = start_from(shards, ranks, initial);
    for (const SizeClass& sizes : classes_of(shards)) place_class(sizes, shards, ranks, result);
    result.makespan = makespan(ranks, result.work);
    return result;
}

Partition greedy_partition_among(std::span<const Shard> shards, std::span<const RankModel> ranks,
                                 std::span<const std::vector<int>> allowed) {
    require_usable(ranks, shards.size());
    std::vector<int> anywhere(ranks.size());
    std::iota(anywhere.begin(), anywhere.end(), 0);
    Partition result = start_from(shards, ranks, {});
    const auto choices = [&](std::size_t i) {
        return i < allowed.size() && !allowed[i].empty() ? allowed[i].size() : ranks.size();
    };
    for (SizeClass& sizes : classes_of(shards)) {
        std::ranges::stable_sort(sizes.shards, {}, choices);  // those that can go to few ranks go first
        for (std::size_t i : sizes.shards) {
            const double work = shards[i].work();
            double best = std::numeric_limits<double>::infinity();
            for (int rank : i < allowed.size() && !allowed[i].empty() ? allowed[i] : anywhere) {
                const auto r = static_cast<std::size_t>(rank);
                if (!ranks[r].usable() || !fits(ranks[r], result.work[r], work)) continue;
                const double finish = ranks[r].time(result.work[r] + work);
                if (result.owner[i] >= 0 && finish >= best) continue;
                best = finish;
                result.owner[i] = rank;
            }
            if (result.owner[i] < 0) no_room(shards[i]);
            result.work[static_cast<std::size_t>(result.owner[i])] += work;
        }
    }
    result.makespan = makespan(ranks, result.work);
    return result;
}

namespace {

double work_within(const RankModel& rank, double seconds) noexcept {
    if (!rank.usable()) return 0;
    return std::min(rank.capacity, std::max(0.0, seconds - rank.overhead) / rank.seconds_per_unit);
}

double work_within(std::span<const RankModel> ranks, double seconds) noexcept {
    double total = 0;
    for (const RankModel& rank : ranks) total += work_within(rank, seconds);
    return total;
}

}  // namespace

double optimal_time(std::span<const RankModel> ranks, double work) {
    if (work <= 0) return 0;
    double room = 0, high = 0;
    for (const RankModel& rank : ranks) {
        if (!rank.usable()) continue;
        room += rank.capacity;
        high = std::max(high, rank.overhead + rank.seconds_per_unit * std::min(work, rank.capacity));
    }
    if (room < work * (1 - slack))
        throw_error<ConfigError>("scheduler: {:.0f} units of work, but the ranks can take {:.0f} together",
                                 work, room);
    double low = 0;
    for (int i = 0; i < 200 && high - low > 1e-15 * high; ++i) {
        const double middle = low + (high - low) / 2;
        (work_within(ranks, middle) < work ? low : high) = middle;
    }
    return high;
}

std::vector<double> optimal_work(std::span<const RankModel> ranks, double work) {
    const double seconds = optimal_time(ranks, work);
    std::vector<double> shares;
    for (const RankModel& rank : ranks) shares.push_back(work_within(rank, seconds));
    const double total = std::accumulate(shares.begin(), shares.end(), 0.0);
    if (total > 0)
        for (double& share : shares) share *= work / total;
    return shares;
}

double imbalance(std::span<const double> times) {
    const double total = std::accumulate(times.begin(), times.end(), 0.0);
    if (total <= 0) return 0;
    return *std::ranges::max_element(times) * static_cast<double>(times.size()) / total - 1;
}

}  // namespace divs::sched
