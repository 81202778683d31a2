// Ring allreduce (Patarasuk, Yuan, "Bandwidth optimal all-reduce algorithms for clusters of workstations",
// 2009): the least data over every link, in 2 (ranks - 1) messages one after the other.
#pragma once

#include <cstddef>
#include <span>

#include "channel.hpp"
#include "combine.hpp"

namespace divs::comm {

// One block in progress: `size` chunks of it travel round the ring, first adding up, then copied. Chunk c
// starts at rank c and gains c+1, c+2, ... in this order.
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
        const auto n = static_cast<std::size_t>(size_);
        arrived_ = channel_.base().template scratch<T>(slot_, (block.size() + n - 1) / n);
        step_ = 0;
        start_step();
    }

    // Moves on where the messages of the step are through; false where they are not.
    bool advance() {
        if (!channel_.test(pair_)) return false;
        if (adding()) combine(channel_.base(), incoming(), arrived_.data(), operation_);
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
        pair_[0] = channel_.receive(adding() ? arrived_.data() : to.data(), to.size_bytes(), left, slot_);
        pair_[1] = channel_.send(from.data(), from.size_bytes(), right, slot_);
    }

    Links& channel_;
    int slot_, size_, rank_;
    Operation operation_;
    std::span<T> block_;
    std::span<T> arrived_;
    Transfer pair_[2];
    int step_ = 2 * (size_ - 1);
};

}  // namespace divs::comm
