#include "divs/video/indexing.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>

#include "divs/core/clock.hpp"
#include "divs/core/error.hpp"
#include "divs/core/log.hpp"
#include "divs/io/bytes.hpp"

namespace divs::video {
namespace {

using Saved = std::map<std::string, VideoIndex>;

// This process's share of the files.
class Part {
  public:
    Part(const Dataset& dataset, const IndexingOptions& options, std::vector<std::uint32_t> numbers)
        : dataset_(dataset), options_(options), numbers_(std::move(numbers)), files_(numbers_.size()) {}

    void index(Saved saved) {
        saved_ = std::move(saved);
        const auto most = static_cast<std::size_t>(std::max(options_.threads, 1));
        std::vector<std::jthread> threads;
        for (std::size_t i = 1; i < std::min(most, numbers_.size()); ++i)
            threads.emplace_back([this] { work(); });
        work();
        threads.clear();  // joins
        if (failure_) std::rethrow_exception(failure_);
    }

    std::uint64_t reused() const noexcept { return reused_; }

    // reused | how many | their numbers | the indexes
    std::vector<std::byte> packed() const {
        io::ByteWriter out;
        out.number(reused_);
        out.number(numbers_.size());
        for (const std::uint32_t number : numbers_) out.number(number);
        out.raw(pack_indexes(files_));
        return out.take();
    }

  private:
    void work() noexcept {
        try {
            for (std::size_t i = next_++; i < numbers_.size(); i = next_++) {
                files_[i] = index_one(dataset_.path_of(numbers_[i]));
                if (!options_.progress) continue;
                const std::lock_guard lock(mutex_);
                options_.progress(++done_, numbers_.size());
            }
        } catch (...) {  // out of memory: index_video() itself never throws
            const std::lock_guard lock(mutex_);
            failure_ = std::current_exception();
            next_ = numbers_.size();
        }
    }

    VideoIndex index_one(const std::filesystem::path& path) {
        const auto found = saved_.find(path.string());  // each entry is asked for by one thread
        if (found == saved_.end() || !is_current(found->second)) return index_video(path, options_.limits);
        ++reused_;
        return std::move(found->second);
    }

    const Dataset& dataset_;
    const IndexingOptions& options_;
    const std::vector<std::uint32_t> numbers_;
    std::vector<VideoIndex> files_;
    Saved saved_;
    std::atomic<std::size_t> next_{0};
    std::atomic<std::uint64_t> reused_{0};
    std::mutex mutex_;
    std::size_t done_ = 0;
    std::exception_ptr failure_;
};

std::vector<std::uint32_t> share(const Dataset& dataset, const IndexingPeers& peers) {
    std::vector<std::uint32_t> numbers;
    for (std::uint32_t i = 0; i < dataset.files.size(); ++i)
        if (peers.mine ? peers.mine(i)
                       : i % static_cast<std::uint32_t>(peers.size) == static_cast<std::uint32_t>(peers.rank))
            numbers.push_back(i);
    return numbers;
}

// Puts one process's part in its places. Where several indexed a file, whoever could read it is believed.
void merge(std::span<const std::byte> part, Indexed& all, std::vector<bool>& known) {
    io::ByteReader in(part, "index of another rank");
    all.reused += in.number();
    std::vector<std::uint64_t> numbers(in.count());
    for (std::uint64_t& number : numbers) number = in.number();
    std::vector<VideoIndex> files = unpack_indexes(in.raw());
    if (files.size() != numbers.size()) in.fail("files and numbers do not agree");
    for (std::size_t i = 0; i < files.size(); ++i) {
        const std::uint64_t number = numbers[i];
        if (number >= all.files.size()) in.fail("a file number that the data set does not have");
        if (!known[number] || !all.files[number].quarantine.empty()) all.files[number] = std::move(files[i]);
        known[number] = true;
    }
}

// True where it is now as `files` has it.
bool save(const std::filesystem::path& path, const std::vector<VideoIndex>& files) {
    try {
        save_index(path, files);
        return true;
    } catch (const StorageError& e) {
        log::warn("the index is not saved and will be made again next time: {}", e.what());
        return false;
    }
}

}  // namespace

Indexed index_dataset(const Dataset& dataset, const IndexingOptions& options, const IndexingPeers& peers) {
    const Stopwatch watch;
    Indexed all;
    all.saved_at = options.saved.empty() ? default_index_path(dataset) : options.saved;
    all.files.resize(dataset.files.size());

    Part part(dataset, options, share(dataset, peers));
    Saved saved;
    if (options.reuse) saved = read_index(all.saved_at);
    const std::size_t saved_entries = saved.size();
    part.index(std::move(saved));

    std::vector<std::vector<std::byte>> parts;
    if (peers.all_gather)
        parts = peers.all_gather(part.packed());
    else
        parts.push_back(part.packed());
    std::vector<bool> known(all.files.size());
    for (const auto& bytes : parts) merge(bytes, all, known);
    for (std::uint32_t i = 0; i < all.files.size(); ++i) {
        if (known[i]) continue;
        all.files[i].path = dataset.path_of(i).string();
        all.files[i].quarantine = "no process can read it";
    }
    const bool changed = all.reused < all.files.size() || saved_entries != all.files.size();
    all.saved = peers.rank == 0 && changed && save(all.saved_at, all.files);
    all.seconds = watch.seconds();
    return all;
}

}  // namespace divs::video
