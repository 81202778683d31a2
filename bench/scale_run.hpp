// One run of `divs bench scale`: a training job of some ranks, or as many jobs of one rank side by side,
// started as a user starts them, and what their metrics.jsonl says of the epochs behind the warm-up.
#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace divs::bench {

struct ScaleRun {
    std::string mode;  // "strong", "weak"; "apart": independent jobs
    int ranks = 1;
    int batch = 32;            // global, of each job
    int warm_up = 1;           // epochs that do not count
    int epochs = 1;            // that count
    std::string name() const;  // "weak-2"
};

// Medians over rounds are taken field by field.
struct ScaleFigures {
    double samples_per_second = 0;
    // Shares of the ranks' time, means over the ranks; together with the rest they make 1.
    double compute = 0, optimise = 0, exposed = 0, waiting = 0, rest = 0;
    double least_exposed =
        0;  // of the rank that waits least: communication itself, without waiting for slower ranks
    double communicating = 0;  // exposed or not
    double imbalance = 0;      // own work of the busiest rank / mean - 1
    double step_seconds = 0;
    double edge_bytes = 0, cluster_bytes = 0, centre_bytes = 0;  // sent in a step, all ranks
    double memory_bytes = 0;                                     // peak resident, largest rank
};
using ScaleField = double ScaleFigures::*;
extern const std::vector<std::pair<const char*, ScaleField>> scale_fields;  // with their names in JSON
nlohmann::json to_json(const ScaleFigures& figures);
ScaleFigures figures_from(const nlohmann::json& json);

// From the "ranks" and "step" lines of one job. InputError where a line is missing.
ScaleFigures read_figures(const std::filesystem::path& metrics, const ScaleRun& run);
// Of independent jobs: rates and bytes are added up, times are means.
ScaleFigures together(const std::vector<ScaleFigures>& jobs);
// The round whose rate is the median (of two in the middle the slower): its parts belong together, as medians of each
// part would not.
ScaleFigures median_round(std::vector<ScaleFigures> rounds);

struct ScaleLauncher {
    std::string program;               // divs
    std::string config;                // TOML file
    std::vector<std::string> options;  // more of `divs train`
    std::string launcher;  // words with {ranks} and {threads}; empty: mpirun, bound where there are cores
    int threads = 1;
    double timeout_seconds = 3600;
    std::filesystem::path folder;  // of the runs
    std::function<bool()> stopped;

    // The words that start `ranks` ranks.
    std::vector<std::string> launch_words(int ranks) const;
    ScaleFigures execute(const ScaleRun& run) const;

  private:
    std::vector<std::string> train_words(const ScaleRun& run, const std::filesystem::path& job) const;
};

}  // namespace divs::bench
