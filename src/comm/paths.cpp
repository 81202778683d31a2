#include "divs/comm/paths.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

namespace divs::comm {
namespace {

bool contains(const std::vector<int>& ranks, int rank) noexcept {
    return std::ranges::binary_search(ranks, rank);
}

// "rank 3", "ranks 0-3, 5"
std::string ranks_text(const std::vector<int>& ranks) {
    std::string text = ranks.size() == 1 ? "rank " : "ranks ";
    for (std::size_t i = 0; i < ranks.size();) {
        std::size_t last = i;
        while (last + 1 < ranks.size() && ranks[last + 1] == ranks[last] + 1) ++last;
        text += fmt::format("{}{}", i ? ", " : "", ranks[i]);
        if (last > i) text += fmt::format("{}{}", last > i + 1 ? "-" : ", ", ranks[last]);
        i = last + 1;
    }
    return text;
}

using Gpu = std::pair<std::string, std::string>;  // host, PCI bus id

std::map<Gpu, int> ranks_of_gpus(std::span<const Place> places) {
    std::map<Gpu, int> counts;
    for (const Place& place : places)
        if (!place.device.empty()) ++counts[{place.host, place.pci_bus_id}];
    return counts;
}

void plan_mpi(PathPlan& plan) {
    const int size = static_cast<int>(plan.paths.size());
    plan.mpi_ranks.clear();
    if (static_cast<int>(plan.nccl_ranks.size()) == size) return;
    for (int rank = 0; rank < size; ++rank)
        if (!contains(plan.nccl_ranks, rank) || rank == plan.nccl_ranks.front())
            plan.mpi_ranks.push_back(rank);
}

void stage(PathPlan& plan, int rank, std::string reason) {
    plan.paths[static_cast<std::size_t>(rank)] = Path::staged;
    plan.reasons[static_cast<std::size_t>(rank)] = std::move(reason);
}

}  // namespace

std::string nccl_version_text(int version) {
    return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

bool PathPlan::uses_nccl(int rank) const noexcept {
    return contains(nccl_ranks, rank);
}
bool PathPlan::uses_mpi(int rank) const noexcept {
    return contains(mpi_ranks, rank);
}
bool PathPlan::has_devices() const noexcept {
    return std::ranges::any_of(paths, [](Path path) { return path != Path::host; });
}

PathPlan plan_paths(std::span<const Place> places) {
    PathPlan plan;
    plan.paths.assign(places.size(), Path::host);
    plan.reasons.resize(places.size());
    const std::map<Gpu, int> sharing = ranks_of_gpus(places);
    for (std::size_t r = 0; r < places.size(); ++r) {
        const Place& place = places[r];
        const int rank = static_cast<int>(r);
        if (place.device.empty()) continue;
        if (sharing.at({place.host, place.pci_bus_id}) > 1) {
            stage(plan, rank, fmt::format("sharing GPU {} of {}", place.pci_bus_id, place.host));
        } else if (place.nccl == 0) {
            stage(plan, rank, "no NCCL: " + place.why_not);
        } else if (plan.nccl_version != 0 && place.nccl != plan.nccl_version) {
            stage(plan, rank,
                  fmt::format("NCCL {}, rank {} has {}", nccl_version_text(place.nccl),
                              plan.nccl_ranks.front(), nccl_version_text(plan.nccl_version)));
        } else {
            plan.nccl_version = place.nccl;
            plan.paths[r] = Path::nccl;
            plan.nccl_ranks.push_back(rank);
        }
    }
    if (plan.nccl_ranks.size() == 1) {
        stage(plan, plan.nccl_ranks.front(), "no other rank for NCCL");
        plan.nccl_ranks.clear();
    }
    plan_mpi(plan);
    return plan;
}

PathPlan without_nccl(PathPlan plan, const std::string& reason) {
    for (const int rank : plan.nccl_ranks) stage(plan, rank, reason);
    plan.nccl_ranks.clear();
    plan_mpi(plan);
    return plan;
}

std::string PathPlan::describe() const {
    std::vector<std::pair<std::string, std::vector<int>>> groups;  // by what is said of them, in rank order
    for (std::size_t r = 0; r < paths.size(); ++r) {
        const std::string how = paths[r] == Path::nccl ? "by NCCL " + nccl_version_text(nccl_version)
                                : paths[r] == Path::host
                                    ? "by MPI from host memory"
                                    : fmt::format("through pinned memory and MPI ({})", reasons[r]);
        auto group = std::ranges::find(groups, how, [](const auto& g) { return g.first; });
        if (group == groups.end()) group = groups.insert(group, {how, {}});
        group->second.push_back(static_cast<int>(r));
    }
    std::string text;
    for (const auto& [how, ranks] : groups)
        text += fmt::format("{}{} {}", text.empty() ? "" : "; ", ranks_text(ranks), how);
    if (!nccl_ranks.empty() && !mpi_ranks.empty())
        text += fmt::format("; rank {} takes the NCCL ranks' sum to the others", nccl_ranks.front());
    return text;
}

}  // namespace divs::comm
