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
#include "combine.hpp"
#include "halving.hpp"
#include "ring.hpp"
#include "task.hpp"

namespace divs::comm {

// Longest vector, in bytes, that is reduced by recursive doubling; measured where the ring gets faster.
inline constexpr std::size_t doubling_bytes = std::size_t{16} << 10;
// A ring's messages, the blocks of halving, and how many blocks of a vector are on their way at once.
inline constexpr std::size_t ring_piece_bytes = std::size_t{256} << 10;
inline constexpr std::size_t halving_block_bytes = std::size_t{4} << 20;
inline constexpr std::size_t blocks_at_once = max_slots;

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
        combine(channel.base(), values, other.data(), operation);
    }
    for (int bit = 1; bit < power; bit *= 2) {
        Transfer pair[2] = {channel.receive(other.data(), bytes, rank ^ bit),
                            channel.send(values.data(), bytes, rank ^ bit)};
        while (!channel.test(pair)) co_await channel.pause();
        combine(channel.base(), values, other.data(), operation);
    }
    if (has_guest) {
        Transfer out = channel.send(values.data(), bytes, rank + power);
        while (!channel.test(out)) co_await channel.pause();
    }
}

// Cuts the values into blocks, of which a few (Ring or Halving) are on their way at once: one is added while
// another travels, and what arrives is added while it is in the cache.
template <class Block, class Links, class T, class Operation>
Task reduce_in_blocks(Links& channel, std::span<T> values, Operation operation, std::size_t block) {
    std::vector<Block> blocks;
    for (std::size_t s = 0; s < blocks_at_once && s * block < values.size(); ++s)
        blocks.emplace_back(channel, static_cast<int>(s), operation);
    std::size_t next = 0;
    for (bool busy = true; busy;) {
        bool moved = false;
        busy = false;
        for (std::size_t s = 0; s < blocks.size(); ++s) {
            Block& current = blocks[s];
            if (!current.idle()) moved = current.advance() || moved;
            // Block k runs in slot k mod slots on every rank: its messages meet those of the same block.
            if (current.idle() && next < values.size() && next / block % blocks.size() == s) {
                current.start(values.subspan(next, std::min(block, values.size() - next)));
                next += block;
                moved = true;
            }
            busy = busy || !current.idle();
        }
        if (busy && !moved) co_await channel.pause();
    }
}

// Whether `bytes` over so many ranks are summed by halving or by the ring: by what a block's messages cost
// one after the other, a message's start standing for the bytes that a link carries meanwhile (10 us at 50
// Gb/s). A few ranks, mostly those of one host, keep to the ring, whose messages are of one length that fits
// a cache.
inline bool prefers_halving(int ranks, std::size_t bytes) noexcept {
    constexpr int ring_ranks = 8;
    constexpr double start = 64 << 10;
    if (ranks <= ring_ranks) return false;
    const auto power = std::bit_floor(static_cast<unsigned>(ranks));
    const double n = ranks, hosts = power, rounds = std::countr_zero(power);
    const auto length = static_cast<double>(bytes);
    const double guests = static_cast<unsigned>(ranks) > power ? 2 * (start + length) : 0;
    const double halving = 2 * rounds * start + 2 * length * (1 - 1 / hosts) + guests;
    return halving < 2 * (n - 1) * (start + length / n);
}

template <class Links, class T, class Operation>
Task reduce(Links& channel, std::span<T> values, Operation operation) {
    if (channel.size() == 1 || values.empty()) co_return;
    const auto ranks = static_cast<std::size_t>(channel.size());
    if (values.size_bytes() <= doubling_bytes)
        co_await reduce_by_doubling(channel, values, operation);
    else if (prefers_halving(channel.size(), values.size_bytes()))
        co_await reduce_in_blocks<Halving<Links, T, Operation>>(channel, values, operation,
                                                                halving_block_bytes / sizeof(T));
    else
        co_await reduce_in_blocks<Ring<Links, T, Operation>>(channel, values, operation,
                                                             ring_piece_bytes / sizeof(T) * ranks);
}

}  // namespace divs::comm
