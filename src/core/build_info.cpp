#include "divs/core/build_info.hpp"

#include <fmt/core.h>
#include <sched.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <fstream>

#include "divs_revision.hpp"

namespace divs {

BuildInfo build_info() { return {DIVS_VERSION, DIVS_REVISION, DIVS_COMPILER, DIVS_BUILD_TYPE}; }

int usable_cores() {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    return CPU_COUNT(&set);
}

std::vector<std::pair<std::string, std::string>> machine_info() {
    std::string cpu = "unknown";
    std::ifstream cpuinfo("/proc/cpuinfo");
    for (std::string line; std::getline(cpuinfo, line);)
        if (line.starts_with("model name")) {
            cpu = line.substr(line.find(':') + 2);
            break;
        }
    utsname system{};
    uname(&system);
    const double gib = static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGE_SIZE)) /
                       (1024.0 * 1024 * 1024);
    return {{"cpu", cpu},
            {"cores", std::to_string(usable_cores())},
            {"memory", fmt::format("{:.1f} GiB", gib)},
            {"system", fmt::format("{} {} {}", system.sysname, system.release, system.machine)}};
}

}  // namespace divs
