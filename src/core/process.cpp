#include "divs/core/process.hpp"

#include <unistd.h>

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

}  // namespace divs
