// Element-wise reduction over all ranks. Written over messages instead of MPI_Allreduce for three reasons:
// the bytes of each tier are counted and paced one by one, the wait can back off, and the order of additions
// is fixed by the length and the number of ranks alone, so the result has the same bits on all ranks and
// every time. `Links` is a Channel, or a Subset of its ranks.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <span>
#include <vector>

#include "channel.hpp"
#include "task.hpp"

namespace divs::comm {

// Longest vector, in bytes, that is reduced by recursive doubling; measured where the ring gets faster.
inline constexpr std::size_t doubling_bytes = std::size_t{16} << 10;
// A ring's messages, and how many rings of a vector are on their way at once.
inline constexpr std::size_t ring_piece_bytes = std::size_t{256} << 10;
inline constexpr std::size_t ring_slots = 8;

// into[i] = operation(into[i], from[i]).
template <class T, class Operation>
void combine(std::span<T> into, const T* from, Operation operation) {
    for (std::size_t i = 0; i < into.size(); ++i) into[i] = operation(into[i], from[i]);
}

// Recursive doubling (Thakur, Rabenseifner, Gropp, "Optimization of Collective Communication Operations in
// MPICH", 2005): in round k, ranks that differ in bit k swap what they have. Both compute a + b and b + a,
// which are the same bits. Ranks beyond the largest power of two add theirs to a partner first and get the
// result last.
template <class Links, class T, class Operation>
Task reduce_by_doubling(Links& channel, std::span<T> values, Operation operation) {
    const int rank = channel.rank(), size = channel.size();
    const int power = static_cast<int>(std::bit_floor(static_cast<unsigned>(size)));
    const std::size_t bytes = values.size_bytes();
    std::vector<T> other(values.size());
    if (rank >= power) {
        Transfer out = channel.send(values.data(), bytes, rank - power);
        while (!channel.test(out)) co_await channel.pause();
        Transfer in = channel.receive(values.data(), bytes, rank - power);
        while (!channel.test(in)) co_await channel.pause();
        co_return;
    }
    const bool has_guest = rank + power < size;
    if (has_guest) {
        Transfer in = channel.receive(other.data(), bytes, rank + power);
        while (!channel.test(in)) co_await channel.pause();
        combine(values, other.data(), operation);
    }
    for (int bit = 1; bit < power; bit *= 2) {
        Transfer pair[2] = {channel.receive(other.data(), bytes, rank ^ bit),
                            channel.send(values.data(), bytes, rank ^ bit)};
        while (!channel.test(pair)) co_await channel.pause();
        combine(values, other.data(), operation);
    }
    if (has_guest) {
        Transfer out = channel.send(values.data(), bytes, rank + power);
        while (!channel.test(out)) co_await channel.pause();
    }
}

// One ring allreduce in progress: `size` chunks of a block travel round the ring, first adding up, then
// copied (Patarasuk, Yuan, "Bandwidth optimal all-reduce algorithms", 2009). Chunk c starts at rank c and
// gains c+1, c+2, ... in this order.
template <class Links, class T, class Operation>
class Ring {
  public:
    Ring(Links& channel, int slot, Operation operation)
        : channel_(channel),
          slot_(slot),
          size_(channel.size()),
          rank_(channel.rank()),
          operation_(operation) {}

    bool idle() const noexcept { return step_ == steps(); }

    void start(std::span<T> block) {
        block_ = block;
        arrived_.resize((block.size() + static_cast<std::size_t>(size_) - 1) /
                        static_cast<std::size_t>(size_));
        step_ = 0;
        start_step();
    }

    // Moves on where the messages of the step are through; false where they are not.
    bool advance() {
        Transfer pair[2] = {in_, out_};
        const bool through = channel_.test(pair);
        in_ = pair[0];
        out_ = pair[1];
        if (!through) return false;
        if (adding()) combine(incoming(), arrived_.data(), operation_);
        ++step_;
        if (!idle()) start_step();
        return true;
    }

  private:
    int steps() const noexcept { return 2 * (size_ - 1); }
    bool adding() const noexcept { return step_ < size_ - 1; }

    std::span<T> chunk(int index) const {
        const auto c = static_cast<std::size_t>((index + 2 * size_) % size_),
                   n = static_cast<std::size_t>(size_);
        const std::size_t begin = block_.size() * c / n, end = block_.size() * (c + 1) / n;
        return block_.subspan(begin, end - begin);
    }
    std::span<T> outgoing() const { return chunk(rank_ - step_ % (size_ - 1) + (adding() ? 0 : 1)); }
    std::span<T> incoming() const { return chunk(rank_ - step_ % (size_ - 1) - (adding() ? 1 : 0)); }

    void start_step() {
        const int left = (rank_ + size_ - 1) % size_, right = (rank_ + 1) % size_;
        const std::span<T> to = incoming(), from = outgoing();
        in_ = channel_.receive(adding() ? arrived_.data() : to.data(), to.size_bytes(), left, slot_);
        out_ = channel_.send(from.data(), from.size_bytes(), right, slot_);
    }

    Links& channel_;
    int slot_, size_, rank_;
    Operation operation_;
    std::span<T> block_;
    std::vector<T> arrived_;
    Transfer in_, out_;
    int step_ = 2 * (size_ - 1);
};

// Cuts the values into blocks, whose rings run a few at a time: one is added while another is on its way, and
// what arrives is added while it is in the cache.
template <class Links, class T, class Operation>
Task reduce_by_ring(Links& channel, std::span<T> values, Operation operation) {
    const std::size_t block = ring_piece_bytes / sizeof(T) * static_cast<std::size_t>(channel.size());
    std::vector<Ring<Links, T, Operation>> rings;
    for (std::size_t s = 0; s < ring_slots && s * block < values.size(); ++s)
        rings.emplace_back(channel, static_cast<int>(s), operation);
    std::size_t next = 0;
    for (bool busy = true; busy;) {
        bool moved = false;
        busy = false;
        for (std::size_t s = 0; s < rings.size(); ++s) {
            auto& ring = rings[s];
            if (!ring.idle()) moved = ring.advance() || moved;
            // Block k runs in slot k mod slots on every rank: its messages meet those of the same block.
            if (ring.idle() && next < values.size() && next / block % rings.size() == s) {
                ring.start(values.subspan(next, std::min(block, values.size() - next)));
                next += block;
                moved = true;
            }
            busy = busy || !ring.idle();
        }
        if (busy && !moved) co_await channel.pause();
    }
}

template <class Links, class T, class Operation>
Task reduce(Links& channel, std::span<T> values, Operation operation) {
    if (channel.size() == 1 || values.empty()) co_return;
    if (values.size_bytes() <= doubling_bytes)
        co_await reduce_by_doubling(channel, values, operation);
    else
        co_await reduce_by_ring(channel, values, operation);
}

}  // namespace divs::comm
