// Memory that the ranks of one host share: each has a part of its own, and every rank reads and writes them
// all. It is freed with its last owner and has no name that could stay behind, however a rank ends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "divs/comm/world.hpp"

namespace divs::comm {

class SharedMemory {
  public:
    // A part of `elements` for each rank, zeroed. Collective. Null on all ranks alike where messages must do:
    // a rank asks for nothing or for another length than the others, there is one rank or more than one host,
    // links are emulated, or the system does not let ranks into each other's memory or gives it no large
    // pages, which rank 0 logs.
    static std::shared_ptr<SharedMemory> make(World& world, std::size_t elements);

    ~SharedMemory();
    SharedMemory(const SharedMemory&) = delete;

    int rank() const noexcept { return rank_; }
    int ranks() const noexcept { return static_cast<int>(parts_.size()); }
    std::span<float> part(int rank) const noexcept;  // begins a page

    // What ranks tell each other through the memory itself: each has counters of its own, which begin at 0.
    // Who sees a count sees what its rank wrote before it.
    enum Counter { filled, summed };
    void count(Counter which, std::uint64_t value) const noexcept;
    bool all_reached(Counter which, std::uint64_t value) const noexcept;

  private:
    struct Head;
    struct Ticket;
    SharedMemory(int rank, int ranks, std::size_t elements)
        : rank_(rank), elements_(elements), parts_(static_cast<std::size_t>(ranks)) {}
    std::size_t page_bytes() const noexcept;
    std::size_t bytes() const noexcept;  // of a part with its head
    bool map(int rank, int descriptor);
    bool open_part_of(int rank, const Ticket& ticket);

    int rank_;
    std::size_t elements_;
    std::vector<Head*> parts_;  // by rank: a page with the Head, then the part; null: not mapped
};

}  // namespace divs::comm
