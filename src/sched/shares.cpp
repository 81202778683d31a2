// Whole batch shares from weights.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "divs/core/error.hpp"
#include "divs/sched/partition.hpp"

namespace divs::sched {
namespace {

using Counts = std::vector<std::int64_t>;

std::vector<double> cleaned(std::span<const double> weights) {
    std::vector<double> result;
    for (double w : weights) result.push_back(std::isfinite(w) && w > 0 ? w : 0);
    return result;
}

// Where each rank should stand if samples could be split, in units; nobody above `most`. Water filling: ranks
// at their limit leave, the rest share what remains. Ranks of weight 0 get some only when all others are
// full.
std::vector<double> quotas(std::vector<double> weights, double units, const Counts& most) {
    std::vector<double> quota(weights.size(), 0);
    std::vector<bool> full(weights.size(), false);
    for (;;) {
        double total = 0;
        for (std::size_t r = 0; r < weights.size(); ++r) total += full[r] ? 0 : weights[r];
        if (total <= 0) {
            bool room = false;
            for (std::size_t r = 0; r < weights.size(); ++r) {
                if (full[r]) continue;
                weights[r] = 1;
                room = true;
            }
            if (!room || units <= 0) return quota;
            continue;
        }
        bool changed = false;
        const double each = units / total;
        for (std::size_t r = 0; r < weights.size(); ++r) {
            if (full[r] || weights[r] * each < static_cast<double>(most[r])) continue;
            quota[r] = static_cast<double>(most[r]);
            units -= quota[r];
            full[r] = changed = true;
        }
        if (changed) continue;
        for (std::size_t r = 0; r < weights.size(); ++r)
            if (!full[r]) quota[r] = weights[r] * each;
        return quota;
    }
}

// Hamilton's method: everybody the whole part, what is left one by one to the largest remainders.
Counts apportion(const std::vector<double>& weights, std::int64_t units, const Counts& most) {
    const auto quota = quotas(weights, static_cast<double>(units), most);
    Counts result(weights.size());
    std::vector<std::size_t> order(weights.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    for (std::size_t r = 0; r < weights.size(); ++r) {
        result[r] = std::min(most[r], static_cast<std::int64_t>(std::floor(quota[r] + 1e-9)));
        units -= result[r];
    }
    std::ranges::stable_sort(order, std::greater{},
                             [&](std::size_t r) { return quota[r] - static_cast<double>(result[r]); });
    while (units > 0) {
        const auto before = units;
        for (std::size_t r : order) {
            if (units == 0) break;
            if (result[r] >= most[r]) continue;
            ++result[r];
            --units;
        }
        if (units == before) break;  // everybody is full
    }
    return result;
}

// The rest that makes no quantum goes to one rank, the one that is furthest below its quota and has room for
// all of it.
bool add_rest(std::int64_t rest, const std::vector<double>& quota, const Counts& most, Counts& shares) {
    std::size_t best = shares.size();
    for (std::size_t r = 0; r < shares.size(); ++r) {
        if (quota[r] <= 0 || shares[r] + rest > most[r]) continue;
        if (best == shares.size() ||
            quota[r] - static_cast<double>(shares[r]) > quota[best] - static_cast<double>(shares[best]))
            best = r;
    }
    if (best == shares.size()) return false;
    shares[best] += rest;
    return true;
}

}  // namespace

std::vector<int> batch_shares(std::span<const double> weights, int batch, int quantum,
                              std::span<const std::int64_t> most) {
    const auto clean = cleaned(weights);
    Counts limit(clean.size(), batch);
    for (std::size_t r = 0; r < std::min(limit.size(), most.size()); ++r)
        limit[r] = std::clamp<std::int64_t>(most[r], 0, batch);
    const auto room = std::accumulate(limit.begin(), limit.end(), std::int64_t{0});
    if (room < batch)
        throw_error<ConfigError>("scheduler: a batch of {} samples, but {} ranks can take {} together", batch,
                                 clean.size(), room);
    Counts blocks = limit;
    for (auto& l : blocks) l /= quantum;
    const auto block_room = std::accumulate(blocks.begin(), blocks.end(), std::int64_t{0});
    Counts shares = apportion(clean, std::min<std::int64_t>(batch / quantum, block_room), blocks);
    for (auto& s : shares) s *= quantum;
    const auto rest = batch - std::accumulate(shares.begin(), shares.end(), std::int64_t{0});
    if (rest > 0) {
        const auto quota = quotas(clean, batch, limit);
        if (rest >= quantum ||
            !add_rest(rest, quota, limit, shares)) {  // limits leave no room for whole quanta
            std::vector<double> lacking(clean.size());
            Counts left(clean.size());
            for (std::size_t r = 0; r < clean.size(); ++r) {
                lacking[r] = std::max(0.0, quota[r] - static_cast<double>(shares[r]));
                left[r] = limit[r] - shares[r];
            }
            const Counts more = apportion(lacking, rest, left);
            for (std::size_t r = 0; r < clean.size(); ++r) shares[r] += more[r];
        }
    }
    return {shares.begin(), shares.end()};
}

}  // namespace divs::sched
