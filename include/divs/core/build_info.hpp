// What this program is, and what it runs on.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace divs {

struct BuildInfo {
    std::string version;   // "0.1.0"
    std::string revision;  // git revision, "+" behind it where the tree was changed; "unknown" outside git
    std::string compiler;
    std::string build_type;
};
BuildInfo build_info();

// "cpu" -> model name, "cores" -> number that this process may use, "memory" -> GiB, "system" -> kernel and machine.
std::vector<std::pair<std::string, std::string>> machine_info();

// Cores that this process may run on (its affinity mask, not the machine's number).
int usable_cores();

}  // namespace divs
