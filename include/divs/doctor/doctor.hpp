// What is wrong with an installation, a machine, a launch or a configuration, and how to mend it. Measures
// where a look does not tell. Runs alone and on many ranks.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "divs/comm/world.hpp"
#include "divs/train/settings.hpp"

namespace divs::doctor {

// error: training fails, or hangs, or is not what was asked for. warning: it works, but slower or at more
// risk than need be.
enum class Level { ok, warning, error };
const char* level_name(Level level);

struct Finding {
    Level level = Level::ok;
    std::string topic;       // "clocks"
    std::string text;        // what was found
    std::string advice;      // what to do; empty where all is well
    std::vector<int> ranks;  // that say so
};

struct Examination {
    std::filesystem::path folder = "run";     // where checkpoints go
    std::optional<train::Settings> settings;  // of a configuration, where there is one
    double megabytes = 64;                    // that allreduce and the disk are tried with
};

struct Diagnosis {
    std::vector<std::string> hosts;  // by rank
    std::vector<Finding> findings;
    std::map<std::string, double> figures;  // "allreduce_bus_gb_per_s" -> 1.3

    int count(Level level) const;
    std::string text() const;
    std::string json() const;
};

// Collective. Rank 0 gets the diagnosis of all ranks, the others an empty one.
Diagnosis examine(comm::World& world, const Examination& examination);

}  // namespace divs::doctor
