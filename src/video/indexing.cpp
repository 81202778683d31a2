#include "divs/video/indexing.hpp"

#include <algorithm>
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

// What one process has indexed in one round.
struct Part {
    std::vector<std::uint32_t> numbers;
    std::vector<VideoIndex> files;  // parallel to numbers
    std::uint64_t reused = 0;
    bool last = false;  // the process has no more
};

// The threads of this process at work on its files.
class Workers {
  public:
    Workers(const Dataset& dataset, const IndexingOptions& options, std::vector<std::uint32_t> numbers,
            Saved saved)
        : dataset_(dataset), options_(options), numbers_(std::move(numbers)), saved_(std::move(saved)) {}

    // Indexes files until `seconds` have passed, or all are done.
    Part round(double seconds) {
        part_ = {};
        end_ = now_seconds() + seconds;
        const auto most = static_cast<std::size_t>(std::max(options_.threads, 1));
        {
            std::vector<std::jthread> threads;
            for (std::size_t i = 1; i < std::min(most, numbers_.size() - next_); ++i)
                threads.emplace_back([this] { work(); });
            work();
        }
        if (failure_) std::rethrow_exception(failure_);
        part_.last = next_ == numbers_.size();
        return std::move(part_);
    }

  private:
    void work() noexcept {
        try {
            while (const auto number = take()) {
                bool reused = false;
                VideoIndex video = index_one(dataset_.path_of(*number), reused);
                add(*number, std::move(video), reused);
            }
        } catch (...) {  // out of memory: index_video() itself never throws
            const std::lock_guard lock(mutex_);
            failure_ = std::current_exception();
            end_ = 0;
        }
    }

    std::optional<std::uint32_t> take() {
        const std::lock_guard lock(mutex_);
        if (next_ == numbers_.size() || now_seconds() > end_) return std::nullopt;
        return numbers_[next_++];
    }

    VideoIndex index_one(const std::filesystem::path& path, bool& reused) {
        const auto found = saved_.find(path.string());  // each entry is asked for by one thread
        reused = found != saved_.end() && is_current(found->second, options_.limits);
        return reused ? std::move(found->second) : index_video(path, options_.limits);
    }

    void add(std::uint32_t number, VideoIndex video, bool reused) {
        const std::lock_guard lock(mutex_);
        part_.numbers.push_back(number);
        part_.files.push_back(std::move(video));
        part_.reused += reused;
        if (options_.progress) options_.progress(++done_, numbers_.size());
    }

    const Dataset& dataset_;
    const IndexingOptions& options_;
    const std::vector<std::uint32_t> numbers_;
    Saved saved_;
    std::mutex mutex_;  // of all below
    Part part_;
    std::size_t next_ = 0, done_ = 0;
    double end_ = 0;
    std::exception_ptr failure_;
};

std::vector<std::byte> pack(const Part& part) {
    io::ByteWriter out;
    out.number(part.reused);
    out.number(part.last);
    out.number(part.numbers.size());
    for (const std::uint32_t number : part.numbers) out.number(number);
    out.raw(pack_indexes(part.files));
    return out.take();
}

Part unpack(std::span<const std::byte> bytes, std::size_t files) {
    io::ByteReader in(bytes, "the index of another rank");
    Part part;
    part.reused = in.number();
    part.last = in.number() != 0;
    part.numbers.resize(in.count());
    for (std::uint32_t& number : part.numbers) number = static_cast<std::uint32_t>(in.number());
    part.files = unpack_indexes(in.raw());
    in.finish();
    if (part.files.size() != part.numbers.size()) in.fail("files and numbers do not agree");
    for (const std::uint32_t number : part.numbers)
        if (number >= files) in.fail("a file number that the data set does not have");
    return part;
}

std::vector<std::uint32_t> share(const Dataset& dataset, const IndexingPeers& peers) {
    std::vector<std::uint32_t> numbers;
    const auto size = static_cast<std::uint32_t>(peers.size), rank = static_cast<std::uint32_t>(peers.rank);
    for (std::uint32_t i = 0; i < dataset.files.size(); ++i)
        if (peers.own_storage || i % size == rank) numbers.push_back(i);
    return numbers;
}

// Brings together what the processes found. The first that can read a file speaks for it; whoever has the
// same content holds it too.
class Merger {
  public:
    Merger(const IndexingPeers& peers, Indexed& all)
        : peers_(peers), all_(all), known_(all.files.size()), holders_(all.files.size()) {}

    void add(int rank, Part part) {
        all_.reused += part.reused;
        for (std::size_t i = 0; i < part.numbers.size(); ++i)
            add(rank, part.numbers[i], std::move(part.files[i]));
    }

    std::vector<std::vector<int>> holders() {
        for (auto& ranks : holders_) std::sort(ranks.begin(), ranks.end());
        return std::move(holders_);
    }

  private:
    void add(int rank, std::uint32_t number, VideoIndex video) {
        VideoIndex& speaker = all_.files[number];
        std::vector<int>& ranks = holders_[number];
        const bool readable = video.quarantine.empty();
        const bool same = !ranks.empty() && speaker.fingerprint == video.fingerprint;
        if (readable && (ranks.empty() || same)) {
            const bool own_copy = same && rank == peers_.rank;
            if (ranks.empty() || own_copy) speaker = std::move(video);
            ranks.push_back(rank);
        } else if (!known_[number]) {
            speaker = std::move(video);
        }
        known_[number] = true;
    }

    const IndexingPeers& peers_;
    Indexed& all_;
    std::vector<bool> known_;
    std::vector<std::vector<int>> holders_;
};

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

// Processes meet every so many seconds, so that nobody waits long for a sign of life of the others.
constexpr double round_seconds = 20;

}  // namespace

Indexed index_dataset(const Dataset& dataset, const IndexingOptions& options, const IndexingPeers& peers) {
    const Stopwatch watch;
    if (options.save && !options.saved.empty()) require_index_place(options.saved);
    Indexed all;
    all.saved_at = options.saved.empty() ? default_index_path(dataset) : options.saved;
    all.files.resize(dataset.files.size());
    Saved saved;
    if (options.reuse) saved = read_index(all.saved_at);
    const std::size_t saved_entries = saved.size();
    Workers workers(dataset, options, share(dataset, peers), std::move(saved));
    Merger merger(peers, all);
    std::uint64_t own_reused = 0;
    for (bool more = true; more;) {
        Part part = workers.round(round_seconds);
        own_reused += part.reused;
        more = !part.last;
        if (!peers.all_gather) {
            merger.add(0, std::move(part));
            continue;
        }
        const auto parts = peers.all_gather(pack(part));
        more = false;
        for (std::size_t rank = 0; rank < parts.size(); ++rank) {
            Part theirs = unpack(parts[rank], all.files.size());
            more = more || !theirs.last;
            merger.add(static_cast<int>(rank), std::move(theirs));
        }
    }
    if (peers.own_storage) all.holders = merger.holders();
    const std::uint64_t reused = peers.own_storage ? own_reused : all.reused;
    const bool changed = reused < all.files.size() || saved_entries != all.files.size();
    const bool saves = peers.own_storage || peers.rank == 0;
    all.saved = options.save && saves && changed && save(all.saved_at, all.files);
    all.seconds = watch.seconds();
    return all;
}

}  // namespace divs::video
