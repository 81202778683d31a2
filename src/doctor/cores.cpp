// Cores: who may run where, and with how many threads.
#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <set>

#include "checks.hpp"

namespace divs::doctor {
namespace {

using Json = nlohmann::json;

std::vector<int> cores_of_this_process() {
    cpu_set_t set;
    std::vector<int> cores;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        for (int core = 0; core < CPU_SETSIZE; ++core)
            if (CPU_ISSET(core, &set)) cores.push_back(core);
    return cores;
}

// Processor time a second that the control group grants (version 2, then 1); 0: no limit.
double granted_cores() {
    std::ifstream file("/sys/fs/cgroup/cpu.max");
    std::string quota;
    double period = 0;
    if (file >> quota >> period) return quota == "max" || period <= 0 ? 0 : std::atof(quota.c_str()) / period;
    std::ifstream old_quota("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"),
        old_period("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
    double microseconds = 0;
    if (old_quota >> microseconds && old_period >> period && microseconds > 0 && period > 0)
        return microseconds / period;
    return 0;
}

constexpr const char* how_to_bind =
    "give each rank as many cores as it has threads: mpirun --map-by slot:PE=THREADS --bind-to core, or srun "
    "--cpus-per-task=THREADS --cpu-bind=cores";

// Of the ranks of one host.
std::vector<Finding> judge_host(const std::string& host, const std::vector<const RankCores*>& ranks) {
    std::vector<Finding> found;
    const auto warn = [&](const char* topic, std::string text, std::string advice) {
        found.push_back({Level::warning, topic, std::move(text), std::move(advice), {}});
    };
    std::set<int> all;
    std::vector<int> numbers, tight;
    std::size_t sum = 0;
    int threads = 0, most = 0;
    for (const RankCores* rank : ranks) {
        all.insert(rank->cores.begin(), rank->cores.end());
        sum += rank->cores.size();
        threads += rank->threads;
        most = std::max(most, rank->threads);
        numbers.push_back(rank->rank);
        if (rank->threads > static_cast<int>(rank->cores.size())) tight.push_back(rank->rank);
    }
    const int cores = static_cast<int>(all.size()), machine = ranks[0]->machine;
    const bool overlaps = sum > all.size();
    const std::string which = ranges_text({all.begin(), all.end()});
    const bool has_idle = cores < machine && (overlaps || !tight.empty());
    if (has_idle && (overlaps || !tight.empty()) && threads > cores)
        warn("binding",
             fmt::format("{}: rank {} with {} threads in all may run on core {} only, while {} cores of the "
                         "machine stay "
                         "idle",
                         host, ranges_text(numbers), threads, which, machine - cores),
             how_to_bind);
    else if (threads > cores)
        warn("cores",
             fmt::format("{}: {} compute threads of {} ranks on {} cores slow each other down", host, threads,
                         ranks.size(), cores),
             "start fewer ranks, or lower model.threads (0: each rank takes its share of the cores)");
    else if (!tight.empty())
        warn("binding",
             fmt::format("{}: rank {} has more threads than cores of its own", host, ranges_text(tight)),
             how_to_bind);
    if (const double quota = ranks[0]->quota; quota > 0 && quota + 0.05 < std::min(threads, cores))
        warn("cores",
             fmt::format("{}: the container grants {:.1f} cores, the ranks compute with {} threads", host,
                         quota, threads),
             "raise the container's limit, or set model.threads");
    if (!found.empty()) return found;
    const std::string text =
        ranks.size() == 1 ? fmt::format("{}: 1 rank, {} threads, core {}", host, threads, which)
        : overlaps        ? fmt::format("{}: {} ranks of up to {} threads share core {}, not bound", host,
                                        ranks.size(), most, which)
                          : fmt::format("{}: {} ranks of up to {} threads, each with cores of its own", host,
                                        ranks.size(), most);
    return {{Level::ok, "cores", text, {}, {}}};
}

}  // namespace

std::vector<Finding> judge_cores(std::span<const RankCores> ranks) {
    std::map<std::string, std::vector<const RankCores*>> hosts;
    for (const RankCores& rank : ranks) hosts[rank.host].push_back(&rank);
    std::vector<Finding> found;
    for (const auto& [host, here] : hosts)
        for (Finding& finding : judge_host(host, here)) found.push_back(std::move(finding));
    return found;
}

void check_cores(Patient& patient, Notes& notes) {
    const Json mine{{"host", patient.world.host()},
                    {"cores", cores_of_this_process()},
                    {"threads", patient.compute_threads},
                    {"machine", sysconf(_SC_NPROCESSORS_ONLN)},
                    {"quota", granted_cores()}};
    std::vector<RankCores> ranks;
    for (const Json& rank : gather(patient.world, mine))
        ranks.push_back({static_cast<int>(ranks.size()), rank.at("host"), rank.at("cores"),
                         rank.at("threads"), rank.at("machine"), rank.at("quota")});
    if (patient.is_root()) notes.add(judge_cores(ranks));
}

}  // namespace divs::doctor
