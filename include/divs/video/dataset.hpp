// A data set: a TOML descriptor and a table of labels over a folder of videos and images; indexed, it is a catalogue of
// files, shards and samples that every rank agrees on. datasets/README.md describes the files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "divs/video/decode.hpp"
#include "divs/video/index.hpp"

namespace divs::video {

enum class Split : std::uint8_t { train, val, test };
std::string_view split_name(Split split) noexcept;

// One row of the table: a file, or the part [start, end) of it in seconds from the first pts, has a label.
struct LabelRow {
    std::uint32_t file = 0;
    std::int32_t label = -1;
    Split split = Split::train;
    double start = 0, end = -1;  // end < 0: to the end of the file
    std::string group;           // splits never share a group
};

// What was declared, before any video is opened.
struct Dataset {
    std::string name;
    std::filesystem::path root;         // folder that `files` are relative to
    std::vector<std::string> classes;   // label -> name; sorted unless the descriptor orders them
    std::vector<std::string> files;     // relative paths in the order of the table, each once
    std::vector<LabelRow> rows;
};

// Reads a descriptor (.toml) or, for a folder, the `dataset.toml` or `labels.tsv` in it. ConfigError / InputError with
// file and line for: a missing column, an unknown split or class, a path that leaves the root, a file twice with
// overlapping intervals, a group in two splits.
Dataset read_dataset(const std::filesystem::path& descriptor);

// How clips are cut from labelled intervals.
struct ClipOptions {
    int frames = 1;     // T
    int stride = 1;     // frames of the video from one clip frame to the next
    int hop = 0;        // frames from one clip's start to the next; 0: frames x stride (no overlap)
};

// One sample: frame numbers are positions in the shard's frames in presentation order, by the index.
// A shard too short for one clip gives one sample that repeats its last frame, so that no labelled interval is lost.
struct Sample {
    std::uint64_t id = 0;      // position in Catalogue::samples
    std::uint32_t shard = 0;   // id
    std::int32_t label = -1;
    Split split = Split::train;
    std::vector<std::int64_t> pts;  // of its T frames, from the index
};

// The data set as indexed: equal on every rank.
struct Catalogue {
    Dataset dataset;
    ClipOptions clip;
    std::vector<VideoIndex> files;      // parallel to dataset.files
    std::vector<Shard> shards;          // ids are positions
    std::vector<Sample> samples;        // ids are positions; in order of shard, then time
    std::vector<std::vector<std::uint64_t>> shard_samples;  // by shard id
    std::uint64_t fingerprint = 0;      // of everything that fixes the samples

    std::vector<std::uint64_t> samples_of(Split split) const;
    // file, reason
    std::vector<std::pair<std::string, std::string>> quarantined() const;
};

struct CatalogueOptions {
    ClipOptions clip;
    ShardOptions shard;
    OpenLimits limits;
};

// Plans shards and samples from indexes; a pure function of its arguments. Files that are quarantined give none.
Catalogue make_catalogue(Dataset dataset, std::vector<VideoIndex> files, const CatalogueOptions& options);

// The saved index of a data set (binary, checksummed, versioned), by default `<root>/.divs-index` or, where the root is
// not writable, in the user's cache folder. Reading gives only the entries that are still current.
std::filesystem::path default_index_path(const Dataset& dataset);
void save_index(const std::filesystem::path& path, const std::vector<VideoIndex>& files);
std::map<std::string, VideoIndex> load_index(const std::filesystem::path& path);

// Bytes for sending to other ranks.
std::vector<std::byte> pack_indexes(const std::vector<VideoIndex>& files);
std::vector<VideoIndex> unpack_indexes(std::span<const std::byte> bytes);

}  // namespace divs::video
