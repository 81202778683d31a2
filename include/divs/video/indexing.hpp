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
    bool save = true;
    // Told how many of this process's files are done, from its threads, one at a time.
    std::function<void(std::size_t done, std::size_t total)> progress;
};

// Processes that share the work. `all_gather` is collective: it gives every process the bytes of all, by
// rank.
struct IndexingPeers {
    int rank = 0, size = 1;
    std::function<std::vector<std::vector<std::byte>>(std::span<const std::byte>)> all_gather;
    // Storage is not shared: every process looks at every file, and saves an index of its own. False: file i
    // is looked at by process i mod size, and rank 0 saves.
    bool own_storage = false;
};

struct Indexed {
    std::vector<VideoIndex> files;  // parallel to dataset.files; quarantined ones say why
    // By file: the ranks that have it, where storage is not shared; all with the same content as the first.
    std::vector<std::vector<int>> holders;
    std::uint64_t reused = 0;  // looked at, and taken from the saved index; over all processes
    bool saved = false;        // this process wrote the index anew
    std::filesystem::path saved_at;
    double seconds = 0;
};

// Indexes the files of a data set. Collective over the peers; all get the same files, except that with
// own_storage the time of modification is that of the process's own copy. The index is saved where anything
// changed; a place that cannot be written to is a warning, not a failure. StorageError where `options.saved`
// is a file of another kind: that is not written over.
Indexed index_dataset(const Dataset& dataset, const IndexingOptions& options,
                      const IndexingPeers& peers = {});

}  // namespace divs::video
