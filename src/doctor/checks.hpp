// The checks. Each is collective: all ranks call them in one order. What one rank finds about itself it notes
// itself; what only a look at all ranks shows is noted by rank 0. The judge_ functions are pure.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "divs/comm/clocks.hpp"
#include "divs/comm/world.hpp"
#include "divs/doctor/doctor.hpp"
#include "divs/video/library.hpp"

namespace divs::doctor {

// What this rank has found so far.
struct Notes {
    std::vector<Finding> findings;
    std::map<std::string, double> figures;

    void ok(std::string topic, std::string text) {
        add({Level::ok, std::move(topic), std::move(text), {}, {}});
    }
    void warning(std::string topic, std::string text, std::string advice) {
        add({Level::warning, std::move(topic), std::move(text), std::move(advice), {}});
    }
    void error(std::string topic, std::string text, std::string advice) {
        add({Level::error, std::move(topic), std::move(text), std::move(advice), {}});
    }
    void add(Finding finding) { findings.push_back(std::move(finding)); }
    void add(std::vector<Finding> more) {
        for (Finding& finding : more) add(std::move(finding));
    }
};

struct Patient {
    comm::World& world;
    const Examination& examination;
    int compute_threads = 1, decode_threads = 1;  // of this rank

    bool is_root() const { return world.rank() == 0; }
};

// Everybody's object on rank 0, by rank; elsewhere empty.
std::vector<nlohmann::json> gather(comm::World& world, const nlohmann::json& mine);
// Rank 0's on all ranks.
nlohmann::json broadcast(comm::World& world, const nlohmann::json& of_root);

std::string ranges_text(std::vector<int> numbers);  // {0, 1, 2, 5} -> "0-2,5"

// ---- program.cpp, launch.cpp
void check_program(Patient& patient, Notes& notes);
using Environment = std::map<std::string, std::string>;  // what the launcher left in it
std::vector<Finding> judge_launch(const Environment& environment, int ranks);
void check_launch(Patient& patient, Notes& notes);

// ---- cores.cpp
struct RankCores {
    int rank = 0;
    std::string host;
    std::vector<int> cores;  // that the rank may run on
    int threads = 1;         // that it computes with
    int machine = 1;         // cores of the host
    double quota = 0;        // cores that a container grants; 0: no limit
};
std::vector<Finding> judge_cores(std::span<const RankCores> ranks);
void check_cores(Patient& patient, Notes& notes);

// ---- gpu.cpp
struct Gpu {
    std::string name, id;
    double gib = 0;
};
struct RankGpus {
    int rank = 0;
    std::string host;
    std::string absence;  // why there is no driver; empty: there is one
    int driver = 0;       // 12040: CUDA 12.4
    std::string visible;  // CUDA_VISIBLE_DEVICES, "" where it is not set
    std::vector<Gpu> gpus;
    std::string cudnn, nccl;   // versions; empty: not found
    std::string plugin;        // what the plugin says of itself; empty: it cannot be used
    std::string plugin_fault;  // why
};
std::vector<Finding> judge_gpus(std::span<const RankGpus> ranks, bool wanted);
void check_gpus(Patient& patient, Notes& notes);

// ---- video.cpp
std::vector<Finding> judge_codecs(const video::LibraryInfo& library,
                                  std::span<const std::string> usable_hardware);
void check_video(Patient& patient, Notes& notes);

// ---- storage.cpp, data.cpp
void check_storage(Patient& patient, Notes& notes);
void check_data(Patient& patient, Notes& notes);

// ---- model.cpp
void check_model(Patient& patient, Notes& notes);

// ---- network.cpp
std::vector<Finding> judge_clocks(std::span<const comm::ClockOffset> clocks,
                                  std::span<const std::string> hosts);
void check_network(Patient& patient, Notes& notes);

}  // namespace divs::doctor
