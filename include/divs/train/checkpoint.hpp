// Checkpoints: all that training needs to go on, in one HDF5 file with canonical names and no trace of how
// many ranks wrote it. Killed at any instant, a run goes on from the newest whole file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "divs/nn/host_view.hpp"
#include "divs/nn/model.hpp"

namespace divs::train {

inline constexpr std::int64_t checkpoint_format = 1;

// A named array of the state. Names start with their kind:
// "parameters/conv1.weight", "buffers/bn1.running_mean", "optimiser/momentum/conv1.weight".
struct ArrayView {
    std::string name;
    std::vector<std::int64_t> dims;
    std::span<const float> values;  // must stay as they are until save() returns
};
struct Array {
    std::string name;
    std::vector<std::int64_t> dims;
    std::vector<float> values;
};

struct CheckpointInfo {
    std::string model_json;  // nn::to_json
    std::vector<std::string> classes;
    int clip_stride = 1;    // frames of the video between two frames of a clip
    std::int64_t step = 0;  // updates done
    std::uint64_t epoch = 0;
    std::uint64_t batch = 0;        // batches done in this epoch
    std::vector<std::byte> ledger;  // SampleLedger::pack; empty: a fresh ledger (imported weights)
    std::string trainer_json;       // the trainer's own small state: best metric, plans
    std::string config;             // effective TOML
    std::string revision;           // build_info().revision; filled in by save() where empty
    std::map<std::string, std::string> versions;  // library -> version
    std::uint64_t data_fingerprint = 0;
    std::optional<double> metric;  // higher is better; decides which checkpoint is the best
    std::string metric_name;
    std::string created;  // UTC, ISO 8601; filled in by save() where empty
};

struct Checkpoint {
    CheckpointInfo info;
    std::vector<Array> arrays;
    std::filesystem::path file;  // where it came from
    const Array* find(std::string_view name) const noexcept;
};

// The arrays of a model and its optimiser, in canonical order. state: name ("momentum", "moment1", "moment2")
// -> arena that is parallel to the parameter arena.
using OptimiserState = std::vector<std::pair<std::string, std::span<float>>>;
struct StateArrays {
    std::vector<nn::HostView> views;  // what the arrays lie in
    std::vector<ArrayView> arrays;
};
StateArrays checkpoint_arrays(nn::Model& model, const OptimiserState& state);
// The same from arenas and their views.
void append_arrays(std::vector<ArrayView>& arrays, std::string_view prefix,
                   const std::vector<nn::ParameterView>& views, std::span<const float> arena);

// Copies a checkpoint into a model and its optimiser state. InputError naming the file and the array that is
// missing, of another shape or too many. A checkpoint without any "optimiser/" array (imported weights)
// leaves the state zeroed.
void restore(const Checkpoint& checkpoint, nn::Model& model, const OptimiserState& state);
void restore_arrays(const Checkpoint& checkpoint, std::string_view prefix,
                    const std::vector<nn::ParameterView>& views, std::span<float> arena);

// Reads one file. InputError where it is damaged, is no checkpoint, or its format is newer than this program
// knows.
Checkpoint read_checkpoint(const std::filesystem::path& file);
// Writes one file at once, on this thread. StorageError.
void write_checkpoint(const std::filesystem::path& file, CheckpointInfo info,
                      std::span<const ArrayView> arrays);

// The newest readable checkpoint of a folder. Files that cannot be read are named with their reason in the
// log (warn) and in `rejected`, and the one before is taken, `best.h5` last. Nothing in the folder, or no
// folder: nothing. InputError where there are files and none can be read (so that days of work are not
// silently begun anew), and at once where the newest has a newer format.
std::optional<Checkpoint> load_newest(const std::filesystem::path& folder,
                                      std::vector<std::string>* rejected = nullptr);
std::optional<Checkpoint> load_best(const std::filesystem::path& folder);  // best.h5, else the newest

std::string checkpoint_name(std::int64_t step);  // "step-00001200.h5"
// Checkpoint files in a folder by step, newest first, without best.h5.
std::vector<std::pair<std::int64_t, std::filesystem::path>> list_checkpoints(
    const std::filesystem::path& folder);

// Saves in the background. One object, on the one rank that writes.
class CheckpointStore {
  public:
    // keep_last: how many of the newest stay (at least 1). keep_best: best.h5 is kept beside them.
    // Makes the folder, locks it (io::FolderLock), removes what killed writers left. StorageError.
    CheckpointStore(std::filesystem::path folder, int keep_last, bool keep_best);
    ~CheckpointStore();  // waits for the writer; logs a failure that nobody fetched
    CheckpointStore(const CheckpointStore&) = delete;

    // Takes memory for a snapshot of that size, so that the first save() only copies. StorageError: no room for its file.
    void reserve(std::span<const ArrayView> arrays);

    enum class Busy { skip, wait };
    enum class Saved { started, skipped };
    // Copies the state and returns; a thread writes it. While the previous one is still being written: `skip`
    // leaves this one out, `wait` waits. Never throws for the disk: a failed write is logged, the temporary
    // file removed, older checkpoints stay, and failure() tells. StorageError where another job took the folder over.
    Saved save(CheckpointInfo info, std::span<const ArrayView> arrays, Busy busy = Busy::skip);

    // Why the last finished write failed; empty where it did not (a later success clears it).
    std::string failure() const;
    // Waits for the writer. StorageError where the last write failed.
    void finish();

    std::optional<double> best_metric() const;  // of best.h5
    std::filesystem::path last_file() const;    // newest whole file; empty: none
    double copy_seconds() const noexcept;       // how long training stood still, all saves together
    double write_seconds() const;               // of the thread, all saves together
    std::int64_t saves() const;                 // that succeeded

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace divs::train
