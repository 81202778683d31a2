#include "divs/sched/migration.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <utility>

#include "divs/core/error.hpp"

namespace divs::sched {
namespace {

// What a rank still wants to give (amount > 0) or get (amount < 0), in units of work.
struct Party {
    std::size_t rank = 0;
    double amount = 0;
    bool settled = false;
};

class Mover {
  public:
    Mover(std::span<const Holding> holdings, std::span<const RankModel> ranks, std::span<const double> wanted)
        : ranks_(ranks) {
        for (std::size_t r = 0; r < holdings.size(); ++r) {
            plan_.work_after.push_back(holdings[r].work());
            movable_.push_back(holdings[r].movable);
            std::ranges::stable_sort(movable_.back(), std::greater{}, &Shard::work);
            parties_.push_back({r, plan_.work_after[r] - wanted[r], false});
            clusters_[holdings[r].cluster].push_back(r);
        }
        link_bytes_.assign(holdings.size(), 0);
    }

    MovePlan run() {
        if (clusters_.size() > 1)
            for (const auto& [cluster, members] : clusters_) settle(members, false);
        std::vector<std::size_t> all(parties_.size());
        std::iota(all.begin(), all.end(), std::size_t{0});
        settle(all, true);
        if (!link_bytes_.empty()) plan_.largest_link = *std::ranges::max_element(link_bytes_);
        return std::move(plan_);
    }

  private:
    // Pairs the largest surplus with the largest deficit until one side has nothing left. A pair that could
    // exchange nothing is set aside; for good only where no other partners remain (`last`).
    void settle(const std::vector<std::size_t>& members, bool last) {
        std::vector<std::size_t> aside;
        for (;;) {
            Party *giver = nullptr, *taker = nullptr;
            for (std::size_t r : members) {
                Party& p = parties_[r];
                if (p.settled) continue;
                if (p.amount > 0 && !movable_[r].empty() && (!giver || p.amount > giver->amount)) giver = &p;
                if (p.amount < 0 && (!taker || p.amount < taker->amount)) taker = &p;
            }
            if (!giver || !taker) break;
            const bool moved = transfer(*giver, *taker);
            Party& smaller = giver->amount <= -taker->amount ? *giver : *taker;
            smaller.settled = true;
            if (!moved && !last) aside.push_back(smaller.rank);
            if (moved) {
                giver->amount = pending_giver_;
                taker->amount = pending_taker_;
                if (giver->amount <= 0) giver->settled = true;
                if (taker->amount >= 0) taker->settled = true;
            }
        }
        for (std::size_t r : aside) parties_[r].settled = false;
    }

    // Moves shards worth min(surplus, deficit): large ones first as long as they fit, then the one smallest
    // shard that brings the sum nearer. True when anything moved; the amounts that remain stand in pending_*.
    bool transfer(const Party& giver, const Party& taker) {
        double wanted = std::min(giver.amount, -taker.amount), given = 0;
        const double stood = ranks_[giver.rank].time(plan_.work_after[giver.rank]);
        std::vector<Shard> kept, taken;
        const auto accepts = [&](double more) {
            const RankModel& rank = ranks_[taker.rank];
            const double after = plan_.work_after[taker.rank] + given + more;
            return rank.usable() && after <= rank.capacity * (1 + 1e-9) && rank.time(after) < stood;
        };
        for (const Shard& shard : movable_[giver.rank]) {
            const bool take =
                shard.work() <= wanted * (1 + 1e-9) && shard.work() > 0 && accepts(shard.work());
            (take ? taken : kept).push_back(shard);
            if (!take) continue;
            wanted -= shard.work();
            given += shard.work();
        }
        const auto smallest =
            std::find_if(kept.rbegin(), kept.rend(), [](const Shard& s) { return s.work() > 0; });
        if (smallest != kept.rend() && smallest->work() < 2 * wanted && accepts(smallest->work())) {
            given += smallest->work();
            taken.push_back(*smallest);
            kept.erase(std::next(smallest).base());
        }
        if (taken.empty()) return false;
        movable_[giver.rank] = std::move(kept);
        book(giver.rank, taker.rank, taken, given);
        pending_giver_ = giver.amount - given;
        pending_taker_ = taker.amount + given;
        return true;
    }

    void book(std::size_t from, std::size_t to, const std::vector<Shard>& taken, double work) {
        ++plan_.transfers;
        plan_.work_after[from] -= work;
        plan_.work_after[to] += work;
        for (const Shard& shard : taken) {
            plan_.moves.push_back({shard.id, static_cast<int>(from), static_cast<int>(to)});
            plan_.bytes += shard.bytes;
            link_bytes_[from] += shard.bytes;
            link_bytes_[to] += shard.bytes;
        }
    }

    std::span<const RankModel> ranks_;
    std::vector<std::vector<Shard>> movable_;  // large to small
    std::vector<Party> parties_;
    std::map<int, std::vector<std::size_t>> clusters_;
    std::vector<std::uint64_t> link_bytes_;
    double pending_giver_ = 0, pending_taker_ = 0;
    MovePlan plan_;
};

}  // namespace

double Holding::work() const noexcept {
    return std::accumulate(movable.begin(), movable.end(), fixed_work,
                           [](double sum, const Shard& shard) { return sum + shard.work(); });
}

std::vector<double> target_work(std::span<const Holding> holdings, std::span<const RankModel> ranks,
                                std::span<const double> most) {
    std::vector<double> held, fixed;
    std::vector<Shard> movable;
    for (const Holding& h : holdings) {
        held.push_back(h.work());
        fixed.push_back(h.fixed_work);
        movable.insert(movable.end(), h.movable.begin(), h.movable.end());
    }
    if (std::ranges::none_of(ranks, &RankModel::usable)) return held;
    // A rank always has room for what it already holds, and shards that nobody has room for stay where they
    // are.
    std::vector<RankModel> roomy(ranks.begin(), ranks.end());
    for (std::size_t r = 0; r < roomy.size(); ++r) {
        roomy[r].capacity = std::max(roomy[r].capacity, held[r]);
        if (r < most.size()) roomy[r].capacity = std::min(roomy[r].capacity, std::max(most[r], fixed[r]));
    }
    try {
        return greedy_partition(movable, roomy, fixed).work;
    } catch (const ConfigError&) {
        return held;
    }
}

MovePlan plan_moves(std::span<const Holding> holdings, std::span<const RankModel> ranks,
                    std::span<const double> wanted) {
    return Mover(holdings, ranks, wanted).run();
}

std::string_view verdict_name(Verdict verdict) noexcept {
    switch (verdict) {
        case Verdict::moved:
            return "moved";
        case Verdict::balanced:
            return "balanced";
        case Verdict::gain_too_small:
            return "gain too small";
        case Verdict::cost_too_high:
            return "cost too high";
        case Verdict::undone:
            return "undone";
        case Verdict::holding:
            return "holding";
        case Verdict::disabled:
            return "disabled";
    }
    return "unknown";
}

Verdict Gate::judge(double now, double planned, double relative_error, double rounds_left,
                    double cost) const noexcept {
    const double gain = now - planned;
    if (!(gain > 0) || !(now > 0)) return Verdict::balanced;
    if (gain / now <= std::max(least_gain, error_factor * relative_error)) return Verdict::gain_too_small;
    if (gain * rounds_left <= cost_factor * cost) return Verdict::cost_too_high;
    return Verdict::moved;
}

std::vector<double> damp(std::span<const double> change, std::span<const double> held,
                         std::span<const double> last_change, double floor) {
    std::vector<double> result(change.begin(), change.end());
    for (std::size_t r = 0; r < result.size(); ++r) {
        if (r < last_change.size() && last_change[r] * result[r] < 0) result[r] /= 2;
        result[r] = std::min(result[r], std::max(held[r], floor));
    }
    return result;
}

}  // namespace divs::sched
