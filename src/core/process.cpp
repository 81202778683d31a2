#include "divs/core/process.hpp"

#include <unistd.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <ctime>
#include <fstream>
#include <sstream>
#include <string>

namespace divs {

double process_seconds() {
    // Field 22 of the line, proc(5); the second, the program's name, may hold spaces and ends with the last ')'.
    std::ifstream file("/proc/self/stat");
    std::string line;
    std::getline(file, line);
    std::istringstream fields(line.substr(line.rfind(')') + 1));
    std::string field;
    for (int number = 3; number < 22; ++number) fields >> field;
    double ticks = 0;
    timespec now{};
    if (!(fields >> ticks) || clock_gettime(CLOCK_BOOTTIME, &now) != 0) return 0;
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec) -
           ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
}

void keep_freed_memory() {
#ifdef __GLIBC__
    constexpr int largest_threshold = 32 << 20;  // that glibc takes: larger pieces are mapped one by one
    constexpr int kept = 256 << 20;              // at an arena's end
    mallopt(M_MMAP_THRESHOLD, largest_threshold);
    mallopt(M_TRIM_THRESHOLD, kept);
#endif
}

}  // namespace divs
