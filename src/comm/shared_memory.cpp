#include "divs/comm/shared_memory.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <random>

#include "divs/core/log.hpp"

namespace divs::comm {
namespace {

constexpr std::size_t page = 4096, large_page = std::size_t{2} << 20;
constexpr std::size_t cache_line = 64;
#ifndef MADV_COLLAPSE  // of Linux 6.1; older headers do not know it
constexpr int MADV_COLLAPSE = 25;
#endif

std::size_t rounded_up(std::size_t bytes, std::size_t unit) {
    return (bytes + unit - 1) / unit * unit;
}

// Maps a file at an address that begins a large page; null where that cannot be.
void* map_aligned(int descriptor, std::size_t bytes) {
    void* const room = mmap(nullptr, bytes + large_page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED) return nullptr;
    auto* const begin = static_cast<std::byte*>(room);
    const std::size_t before = rounded_up(reinterpret_cast<std::uintptr_t>(begin), large_page) -
                               reinterpret_cast<std::uintptr_t>(begin);
    void* const at =
        mmap(begin + before, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, descriptor, 0);
    if (before > 0) munmap(begin, before);
    munmap(begin + before + bytes, large_page - before);
    return at == MAP_FAILED ? nullptr : at;
}

// A file without a name, in memory.
class File {
  public:
    explicit File(int descriptor) : descriptor_(descriptor) {}
    ~File() {
        if (descriptor_ >= 0) close(descriptor_);
    }
    File(const File&) = delete;
    int get() const noexcept { return descriptor_; }

  private:
    int descriptor_;
};

std::uint64_t draw_secret() {
    std::random_device device;
    return std::uint64_t{device()} << 32 | device();
}

}  // namespace

struct SharedMemory::Head {
    std::uint64_t secret;  // of the rank whose part it is
    struct alignas(cache_line) Count {
        std::atomic<std::uint64_t> value;
    };
    Count counts[2];
    static_assert(std::atomic<std::uint64_t>::is_always_lock_free);
};

// How the others find a rank's part. The secret is in the part too: in another namespace of processes the
// path may lead to a stranger's file.
struct SharedMemory::Ticket {
    std::uint64_t elements = 0, secret = 0;
    std::int64_t process = 0, descriptor = -1;
};

std::shared_ptr<SharedMemory> SharedMemory::make(World& world, std::size_t elements) {
    if (world.size() == 1 || world.local_size() < world.size() || world.emulates_links()) return nullptr;
    const std::shared_ptr<SharedMemory> memory(new SharedMemory(world.rank(), world.size(), elements));
    const File file(memfd_create("divs", MFD_CLOEXEC));
    Ticket mine{elements, draw_secret(), getpid(), -1};
    if (elements > 0 && file.get() >= 0 && ftruncate(file.get(), static_cast<off_t>(memory->bytes())) == 0 &&
        memory->map(world.rank(), file.get())) {
        mine.descriptor = file.get();
        memory->parts_[static_cast<std::size_t>(world.rank())]->secret = mine.secret;
    }
    std::vector<Ticket> tickets;
    for (const auto& bytes : world.all_gather(std::as_bytes(std::span(&mine, 1)), "shared memory"))
        std::memcpy(&tickets.emplace_back(), bytes.data(), std::min(bytes.size(), sizeof(Ticket)));
    const bool wanted = std::ranges::all_of(
        tickets, [&](const Ticket& ticket) { return ticket.elements == tickets[0].elements; });
    if (!wanted || tickets[0].elements == 0) return nullptr;

    std::int64_t refused = 0;
    for (int rank = 0; rank < world.size(); ++rank)
        refused += !memory->open_part_of(rank, tickets[static_cast<std::size_t>(rank)]);
    world.sum(std::span(&refused, 1), "shared memory").wait();  // and then nobody needs the descriptors
    if (refused == 0) return memory;
    if (world.rank() == 0)
        log::info("the ranks of this host cannot share large pages of memory: gradients go as messages");
    return nullptr;
}

SharedMemory::~SharedMemory() {
    for (Head* part : parts_)
        if (part) munmap(part, bytes());
}

// What is long lies on large pages, or a step would lose more by misses of the address cache than sums gain.
std::size_t SharedMemory::page_bytes() const noexcept {
    return elements_ * sizeof(float) >= 2 * large_page ? large_page : page;
}

std::size_t SharedMemory::bytes() const noexcept {
    return page_bytes() + rounded_up(elements_ * sizeof(float), page_bytes());
}

bool SharedMemory::map(int rank, int descriptor) {
    void* const memory = map_aligned(descriptor, bytes());
    if (!memory) return false;
    parts_[static_cast<std::size_t>(rank)] = static_cast<Head*>(memory);
    const std::span<float> values = part(rank);
    if (rank == rank_) std::ranges::fill(values, 0.0F);
    return page_bytes() == page ||
           madvise(values.data(), rounded_up(values.size_bytes(), large_page), MADV_COLLAPSE) == 0;
}

bool SharedMemory::open_part_of(int rank, const Ticket& ticket) {
    if (rank == rank_) return ticket.descriptor >= 0;
    const std::string path = fmt::format("/proc/{}/fd/{}", ticket.process, ticket.descriptor);
    const File file(ticket.descriptor >= 0 ? open(path.c_str(), O_RDWR | O_CLOEXEC) : -1);
    if (file.get() < 0 || lseek(file.get(), 0, SEEK_END) != static_cast<off_t>(bytes())) return false;
    return map(rank, file.get()) && parts_[static_cast<std::size_t>(rank)]->secret == ticket.secret;
}

std::span<float> SharedMemory::part(int rank) const noexcept {
    auto* const head = reinterpret_cast<std::byte*>(parts_[static_cast<std::size_t>(rank)]);
    return {reinterpret_cast<float*>(head + page_bytes()), elements_};
}

void SharedMemory::count(Counter which, std::uint64_t value) const noexcept {
    parts_[static_cast<std::size_t>(rank_)]->counts[which].value.store(value, std::memory_order_release);
}

bool SharedMemory::all_reached(Counter which, std::uint64_t value) const noexcept {
    return std::ranges::all_of(parts_, [&](const Head* part) {
        return part->counts[which].value.load(std::memory_order_acquire) >= value;
    });
}

}  // namespace divs::comm
