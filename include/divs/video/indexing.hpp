// Indexing many files: on several threads, by several processes, and only what changed since the index was
// saved.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <vector>

#include "divs/video/dataset.hpp"

namespace divs::video {

struct IndexingOptions {
    int threads = 1;
    OpenLimits limits;
    std::filesystem::path saved;  // where the index is read from and saved to; empty: default_index_path()
    bool reuse = true;            // take saved entries that are still current
    // Told how many of this process's files are done, from its threads, one at a time.
    std::function<void(std::size_t done, std::size_t total)> progress;
};

// Processes that share the work. `all_gather` is collective: it gives every process the bytes of all, by
// rank.
struct IndexingPeers {
    int rank = 0, size = 1;
    std::function<std::vector<std::vector<std::byte>>(std::span<const std::byte>)> all_gather;
    // Whether this process indexes a file, where not all can read all of them. Empty: every size-th one.
    std::function<bool(std::uint32_t file)> mine;
};

struct Indexed {
    std::vector<VideoIndex> files;  // parallel to dataset.files; quarantined ones say why
    std::uint64_t reused = 0;       // taken from the saved index, by all processes together
    bool saved = false;             // this process wrote the index anew
    std::filesystem::path saved_at;
    double seconds = 0;
};

// Indexes the files of a data set. Collective over the peers; all get the same files. Rank 0 saves the result
// where anything changed; a place that cannot be written to is a warning, not a failure.
Indexed index_dataset(const Dataset& dataset, const IndexingOptions& options,
                      const IndexingPeers& peers = {});

}  // namespace divs::video
