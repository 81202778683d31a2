// A data set: a TOML descriptor and a table of labels over a folder of videos and images; indexed, it is a catalogue of
// files, shards and samples that every rank agrees on. datasets/README.md describes the files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
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
    std::filesystem::path root;         // canonical folder that `files` are relative to
    std::vector<std::string> classes;   // label -> name; sorted unless the descriptor orders them
    std::vector<std::string> files;     // relative paths in the order of the table, each once
    std::vector<LabelRow> rows;

    std::filesystem::path path_of(std::uint32_t file) const { return root / files[file]; }
};

// Reads a descriptor (.toml) or, for a folder, the `dataset.toml` or `labels.tsv` in it. ConfigError / InputError with
// file and line for: a missing column, an unknown split or class, a path that leaves the root, a file twice with
// overlapping intervals, a group in two splits.
Dataset read_dataset(const std::filesystem::path& descriptor);

// How clips are cut from labelled intervals. Clips never straddle a shard boundary: what is left at the end of a shard
// and is shorter than a clip is not sampled, except where the whole interval would then give no sample.
struct ClipOptions {
    int frames = 1;     // T
    int stride = 1;     // frames of the video from one clip frame to the next
    int hop = 0;        // frames from one clip's start to the next; 0: frames x stride (no overlap)
};

// One sample: T frames of one shard and one labelled interval, by their times in the index. An interval in which no
// shard has frames enough for one clip gives one sample, of its longest part, that repeats the last frame.
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
    std::vector<std::uint32_t> empty_rows;  // rows of usable files whose interval holds no frame

    std::vector<std::uint64_t> samples_of(Split split) const;
    // file, reason
    std::vector<std::pair<std::string, std::string>> quarantined() const;
    const std::string& file_of(std::uint64_t sample) const;  // its path
};

struct CatalogueOptions {
    ClipOptions clip;
    ShardOptions shard;
    OpenLimits limits;
};

// When the index promises frames of a shard: pts, rising. Two frames of one time cannot be told apart: they count as one.
std::vector<std::int64_t> frame_times(const VideoIndex& index, const Shard& shard);

// Plans shards and samples from indexes; a pure function of its arguments. Files that are quarantined give none.
// `files` is parallel to dataset.files.
Catalogue make_catalogue(Dataset dataset, std::vector<VideoIndex> files, const CatalogueOptions& options);

// The saved index of a data set (binary, checksummed, versioned), by default `<root>/.divs-index` or, where the root is
// not writable, in the user's cache folder.
std::filesystem::path default_index_path(const Dataset& dataset);
// Whole or not at all; StorageError where it cannot be written.
void save_index(const std::filesystem::path& path, const std::vector<VideoIndex>& files);
// StorageError where there is something that is no index of ours, of whatever version: a file that somebody
// needs.
void require_index_place(const std::filesystem::path& path);
// By path. A file that is missing gives none; a damaged one, or one of another version, gives none and a
// warning, and is made again when next saved.
std::map<std::string, VideoIndex> read_index(const std::filesystem::path& path);

// Bytes for sending to other ranks; unpacking throws InputError where they are damaged.
std::vector<std::byte> pack_indexes(const std::vector<VideoIndex>& files);
std::vector<VideoIndex> unpack_indexes(std::span<const std::byte> bytes);

}  // namespace divs::video
