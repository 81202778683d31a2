// The configuration of training and evaluation, read from TOML. Every key has a default that works;
// jobs/reference.toml lists them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "divs/comm/world.hpp"
#include "divs/core/config.hpp"
#include "divs/nn/backend.hpp"
#include "divs/nn/schedule.hpp"
#include "divs/sched/scheduler.hpp"
#include "divs/video/convert.hpp"
#include "divs/video/dataset.hpp"
#include "divs/video/decoder_choice.hpp"

namespace divs::train {

enum class Order {
    local,
    global
};  // who may stand in a batch: what a rank holds | a function of (seed, epoch) alone
enum class Norm { local, sync };  // statistics of batch norm: a rank's own | over all ranks

struct DataSettings {
    std::filesystem::path dataset;  // descriptor or folder
    std::filesystem::path index;    // saved index; empty: the data set's default
    video::CatalogueOptions catalogue;
    video::DecodeOn decode_on = video::DecodeOn::automatic;
    int decode_threads = 1;               // shards that a rank decodes at once
    std::size_t queue_bytes = 256 << 20;  // decoded clips waiting, per rank
    int mix = 256;  // clips that a rank's reservoir mixes, or that a window of a global order mixes
    video::AugmentOptions augment;
};

struct ModelSettings {
    std::string name = "tiny";
    std::filesystem::path file;  // text description instead of a name
    int height = 64, width = 64;
    std::filesystem::path init;  // exported weights to start from
    std::vector<std::string> freeze;
    std::string backend = "auto";                      // a GPU where one can be used, else the CPU
    int threads = 0;                                   // 0: the rank's share of its host's cores
    nn::Precision precision = nn::Precision::float32;  // of a GPU; the CPU computes in float32
    nn::ConvChoice conv = nn::ConvChoice::automatic;   // whose convolutions a GPU runs
};

struct OptimizerSettings {
    nn::UpdateSettings update;
    nn::Schedule schedule;  // its steps are filled in once the number of samples is known
    double warmup_epochs = 0;
    double clip_norm = 0;  // of the mean gradient; 0: off
    double label_smoothing = 0;
    bool class_weights = false;  // by inverse frequency in the training split
};

struct RunSettings {
    std::filesystem::path folder = "run";  // checkpoints, metrics, trace, report
    int epochs = 10;
    int batch = 32;  // global: summed over the ranks
    std::uint64_t seed = 1;
    Order order = Order::local;
    Norm norm = Norm::local;
    bool deterministic = false;
    bool overlap = true;        // reduce gradients while backward runs
    double bucket_mib = 0;      // 0: tuned in the first steps
    bool shared_memory = true;  // ranks of one host sum in memory that they share, where they can
    bool nccl = true;           // between GPUs, where it can be used; else through pinned memory and MPI
    double nccl_start_seconds = 120;
    int checkpoint_steps = 0;         // 0: not for steps
    double checkpoint_seconds = 300;  // 0: not for time
    int checkpoint_epochs = 1;        // 0: not for epochs, but after each evaluation and at the end
    int keep_last = 2;
    int evaluate_epochs = 1;  // evaluate after every so many epochs; 0: at the end only
    int hash_steps = 200;     // compare parameters over ranks every so many steps; 0: never
    bool trace = false;
};

// A rank slowed on purpose, for tests and benchmarks: everything it does takes `factor` times as long from
// `step` on.
struct Throttle {
    int rank = 0;
    double factor = 1;
    std::int64_t step = 0;
};
Throttle parse_throttle(const std::string& text);  // "RANK=FACTOR[@STEP]"

struct Settings {
    DataSettings data;
    ModelSettings model;
    OptimizerSettings optimizer;
    RunSettings run;
    sched::SchedulerOptions scheduler;
    std::vector<Throttle> throttles;
    comm::WorldOptions world;
    std::string effective;  // the configuration in force, as TOML
};

// Reads every section. The caller calls Config::finish() once it has read its own.
Settings read_settings(Config& config);
comm::WorldOptions read_world_options(Config& config);  // [comm] and [topology] alone

}  // namespace divs::train
