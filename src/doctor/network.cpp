// Clocks of the ranks, and the rate of an allreduce.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "checks.hpp"
#include "divs/core/clock.hpp"
#include "divs/core/units.hpp"

namespace divs::doctor {
namespace {

constexpr double tolerable_skew = 1;  // seconds
constexpr double gigabit = 0.1;       // GB/s of a bus
constexpr int rounds = 5;

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

// Seconds of one sum over all ranks, of the slowest.
double time_sum(comm::World& world, std::span<float> values) {
    world.barrier().wait();
    double seconds = 0;
    const Stopwatch watch;
    world.sum(values, "allreduce rate").wait();
    seconds = watch.seconds();
    world.maximum(std::span(&seconds, 1)).wait();
    return seconds;
}

void check_allreduce(Patient& patient, Notes& notes) {
    comm::World& world = patient.world;
    if (world.size() == 1) return notes.ok("allreduce", "one rank: there is nothing to sum");
    std::vector<float> values(static_cast<std::size_t>(patient.examination.megabytes * 1e6 / sizeof(float)),
                              0.0F);
    std::vector<double> times;
    for (int round = -1; round < rounds; ++round) {
        const double seconds = time_sum(world, values);
        if (round >= 0) times.push_back(seconds);
    }
    if (!patient.is_root()) return;
    bool has_hosts = false;
    for (int rank = 1; rank < world.size(); ++rank)
        has_hosts = has_hosts || world.tier(0, rank) == Tier::centre;
    const double n = world.size(), seconds = median(times);
    const double rate = 2 * (n - 1) / n * patient.examination.megabytes * 1e-3 / seconds;
    notes.figures["allreduce_bus_gb_per_s"] = rate;
    const std::string text = fmt::format("{:.0f} MB over {} ranks in {:.1f} ms: bus bandwidth {:.2f} GB/s",
                                         patient.examination.megabytes, world.size(), 1e3 * seconds, rate);
    if (has_hosts && rate < gigabit)
        notes.warning("allreduce", text + ", less than a gigabit network gives",
                      "see that MPI uses the fast network (Open MPI: --mca btl_tcp_if_include NET/BITS, or "
                      "UCX), or set "
                      "a longer train.batch so that sums are rarer");
    else
        notes.ok("allreduce", text);
}

}  // namespace

std::vector<Finding> judge_clocks(std::span<const comm::ClockOffset> clocks,
                                  std::span<const std::string> hosts) {
    std::vector<Finding> found;
    double worst = 0, trip = 0;
    std::set<std::string> told;
    for (std::size_t rank = 1; rank < clocks.size(); ++rank) {
        // Added to the rank's clock it gives rank 0's: a clock that is ahead has a negative offset.
        const double ahead = -clocks[rank].wall;
        worst = std::max(worst, std::abs(ahead));
        trip = std::max(trip, clocks[rank].round_trip);
        if (std::abs(ahead) < tolerable_skew || !told.insert(hosts[rank]).second) continue;
        found.push_back(
            {Level::warning,
             "clocks",
             fmt::format("the clock of {} (rank {}) is {} {} that of {} (rank 0)", hosts[rank], rank,
                         seconds_text(std::abs(ahead)), ahead > 0 ? "ahead of" : "behind", hosts[0]),
             "run chrony or ntpd there. DIVS does not mind (it compares no clocks), but dates in logs and of "
             "files mislead",
             {}});
    }
    if (found.empty() && clocks.size() > 1)
        found.push_back(
            {Level::ok,
             "clocks",
             fmt::format("at most {} apart (asked over {})", seconds_text(worst), seconds_text(trip)),
             {},
             {}});
    return found;
}

void check_network(Patient& patient, Notes& notes) {
    const auto clocks = comm::clock_offsets(patient.world);
    std::vector<std::string> hosts;
    for (const auto& rank : gather(patient.world, {{"host", patient.world.host()}}))
        hosts.push_back(rank.at("host"));
    if (patient.is_root()) {
        double worst = 0;
        for (const comm::ClockOffset& clock : clocks) worst = std::max(worst, std::abs(clock.wall));
        notes.figures["clock_skew_s"] = worst;
        notes.add(judge_clocks(clocks, hosts));
    }
    check_allreduce(patient, notes);
}

}  // namespace divs::doctor
