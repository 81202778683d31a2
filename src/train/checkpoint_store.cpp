// Saving in the background: training copies its state and goes on; a thread writes the copy.
#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "checkpoint_format.hpp"
#include "divs/core/clock.hpp"
#include "divs/core/error.hpp"
#include "divs/core/log.hpp"
#include "divs/io/atomic_file.hpp"
#include "divs/io/folder_lock.hpp"
#include "divs/train/checkpoint.hpp"

namespace divs::train {
namespace {

namespace fs = std::filesystem;

// A copy of the state. Its memory is kept from save to save: fresh pages would cost more than the copy
// itself.
struct Snapshot {
    CheckpointInfo info;
    std::vector<ArrayView> arrays;  // of `values`
    std::vector<float> values;

    void reserve(std::span<const ArrayView> source) {
        std::size_t total = 0;
        for (const auto& array : source) total += array.values.size();
        if (values.size() < total) values.resize(total);  // also touches every page
    }

    void copy(CheckpointInfo new_info, std::span<const ArrayView> source) {
        reserve(source);
        info = std::move(new_info);
        arrays.resize(source.size());
        std::size_t at = 0;
        for (std::size_t i = 0; i < source.size(); ++i) {
            const auto from = source[i].values;
            std::copy(from.begin(), from.end(), values.begin() + static_cast<std::ptrdiff_t>(at));
            arrays[i].name = source[i].name;
            arrays[i].dims = source[i].dims;
            arrays[i].values = std::span<const float>(values).subspan(at, from.size());
            at += from.size();
        }
    }
};

}  // namespace

struct CheckpointStore::Impl {
    fs::path folder;
    std::size_t keep_last = 1;
    bool keep_best = true;
    std::optional<io::FolderLock> folder_lock;

    Snapshot snapshot;  // the writer's while `writing`, else the trainer's
    mutable std::mutex mutex;
    std::condition_variable changed;
    bool writing = false, stopping = false;
    std::string failure;
    bool failure_told = true;
    std::optional<double> best;
    fs::path last;
    double copy_seconds = 0, write_seconds = 0;
    std::int64_t saves = 0;
    std::thread thread;

    void run() {
        std::unique_lock lock(mutex);
        for (;;) {
            changed.wait(lock, [&] { return writing || stopping; });
            if (!writing) return;
            lock.unlock();
            const Stopwatch watch;
            std::string why;
            try {
                write();
            } catch (const std::exception& e) {
                why = e.what();
                log::error("checkpoint of step {} failed, older ones stay: {}", snapshot.info.step, why);
            }
            lock.lock();
            failure_told = why.empty();
            failure = std::move(why);
            write_seconds += watch.seconds();
            saves += failure.empty();
            writing = false;
            changed.notify_all();
        }
    }

    void write() {
        const fs::path file = folder / checkpoint_name(snapshot.info.step);
        write_checkpoint(file, snapshot.info, snapshot.arrays);
        const auto metric = snapshot.info.metric;
        bool is_best = false;
        {
            const std::lock_guard lock(mutex);
            last = file;
            is_best = keep_best && metric && std::isfinite(*metric) && (!best || *metric > *best);
        }
        if (is_best) {
            io::link_atomically(file, folder / best_name);
            const std::lock_guard lock(mutex);
            best = metric;
        }
        prune(snapshot.info.step);
    }

    // Keeps the newest of the chain that leads to `step`. Later steps belong to a chain that was given up
    // (their files could not be read when the run went on).
    void prune(std::int64_t step) const {
        std::size_t kept = 0;
        for (const auto& [found, file] : list_checkpoints(folder)) {
            if (found <= step && kept++ < keep_last) continue;
            std::error_code code;
            fs::remove(file, code);
            if (code) log::warn("{}: cannot be removed: {}", file.string(), code.message());
        }
    }

    void find_best() {
        std::error_code ignored;
        if (!keep_best || !fs::exists(folder / best_name, ignored)) return;
        try {
            const auto in = open_checkpoint(folder / best_name);
            if (in.has_attribute("", "metric")) best = in.number("", "metric");
        } catch (const InputError& e) {
            log::warn("the best checkpoint so far is unreadable, the next one takes its place: {}", e.what());
        }
    }

    void wait_for_writer(std::unique_lock<std::mutex>& lock) {
        changed.wait(lock, [&] { return !writing; });
    }
};

CheckpointStore::CheckpointStore(fs::path folder, int keep_last, bool keep_best)
    : impl_(std::make_unique<Impl>()) {
    if (keep_last < 1) throw_error<ConfigError>("checkpoints to keep: {}, expected at least 1", keep_last);
    impl_->folder = std::move(folder);
    impl_->keep_last = static_cast<std::size_t>(keep_last);
    impl_->keep_best = keep_best;
    impl_->folder_lock.emplace(impl_->folder);  // from here on nobody else writes there
    io::remove_stale_temporaries(impl_->folder);
    impl_->find_best();
    if (const auto found = list_checkpoints(impl_->folder); !found.empty())
        impl_->last = found.front().second;
    impl_->thread = std::thread([impl = impl_.get()] { impl->run(); });
}

CheckpointStore::~CheckpointStore() {
    {
        std::unique_lock lock(impl_->mutex);
        impl_->wait_for_writer(lock);
        impl_->stopping = true;
        impl_->changed.notify_all();
    }
    impl_->thread.join();
    if (!impl_->failure_told) log::error("the last checkpoint is not on the disk: {}", impl_->failure);
}

void CheckpointStore::reserve(std::span<const ArrayView> arrays) {
    std::unique_lock lock(impl_->mutex);
    impl_->wait_for_writer(lock);
    impl_->snapshot.reserve(arrays);
    const std::uint64_t bytes = impl_->snapshot.values.size() * sizeof(float);
    io::require_room(impl_->folder, bytes + bytes / 100 + (64 << 10));  // the file holds names and checksums too
}

CheckpointStore::Saved CheckpointStore::save(CheckpointInfo info, std::span<const ArrayView> arrays,
                                             Busy busy) {
    const Stopwatch watch;
    impl_->folder_lock->require_held();
    std::unique_lock lock(impl_->mutex);
    if (impl_->writing && busy == Busy::skip) return Saved::skipped;
    impl_->wait_for_writer(lock);
    impl_->snapshot.copy(std::move(info), arrays);
    impl_->writing = true;
    impl_->changed.notify_all();
    impl_->copy_seconds += watch.seconds();
    return Saved::started;
}

std::string CheckpointStore::failure() const {
    const std::lock_guard lock(impl_->mutex);
    impl_->failure_told = true;
    return impl_->failure;
}

void CheckpointStore::finish() {
    std::unique_lock lock(impl_->mutex);
    impl_->wait_for_writer(lock);
    impl_->failure_told = true;
    if (!impl_->failure.empty())
        throw_error<StorageError>("the last checkpoint is not on the disk: {}", impl_->failure);
}

std::optional<double> CheckpointStore::best_metric() const {
    const std::lock_guard lock(impl_->mutex);
    return impl_->best;
}
fs::path CheckpointStore::last_file() const {
    const std::lock_guard lock(impl_->mutex);
    return impl_->last;
}
double CheckpointStore::copy_seconds() const noexcept {
    const std::lock_guard lock(impl_->mutex);
    return impl_->copy_seconds;
}
double CheckpointStore::write_seconds() const {
    const std::lock_guard lock(impl_->mutex);
    return impl_->write_seconds;
}
std::int64_t CheckpointStore::saves() const {
    const std::lock_guard lock(impl_->mutex);
    return impl_->saves;
}

}  // namespace divs::train
