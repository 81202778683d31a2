// What a rank tells rank 0 of itself at the end of an epoch and of a run: counts and seconds since its start,
// as numbers in a row.
#pragma once

#include <array>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string_view>
#include <vector>

namespace divs::train {

enum Fact {
    trained,
    skipped,
    stepping,  // seconds in steps; the next four are parts of it
    wait_data,
    compute,
    optimise,
    exposed,
    communicating,  // exposed or not
    checkpoint,
    evaluating,
    feed_seconds,
    feed_clips,
    frames,
    packets,
    damaged,
    corrupt,
    preroll,
    shard_frames,
    peak_queue,
    peak_memory,
    bytes_edge,
    bytes_cluster,
    bytes_centre,
    busy_edge,  // seconds in which a message of this rank was under way
    busy_cluster,
    busy_centre,
    fact_count
};
using Facts = std::array<double, fact_count>;

// The names in metrics.jsonl.
inline constexpr std::array<std::string_view, fact_count> fact_names{
    "trained",          "skipped",           "step_s",       "wait_data_s",   "compute_s",   "optimise_s",
    "exposed_s",        "communicating_s",   "checkpoint_s", "evaluate_s",    "feed_s",      "clips",
    "frames",           "packets",           "damaged",      "corrupt",       "preroll",     "shard_frames",
    "peak_queue_bytes", "peak_memory_bytes", "edge_bytes",   "cluster_bytes", "centre_bytes",
    "edge_s",           "cluster_s",         "centre_s"};

Facts sum_of(const std::vector<Facts>& ranks);
double most_of(const std::vector<Facts>& ranks, Fact fact);
nlohmann::json to_json(const std::vector<Facts>& ranks);  // one object a rank, by fact_names
double peak_resident_bytes();                             // of this process

}  // namespace divs::train
