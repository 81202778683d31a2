// Recursive halving and doubling (Rabenseifner, "Optimization of Collective Reduction Operations", 2004): the
// data of a ring in 2 log2(ranks) messages one after the other, which is what counts where ranks are many.
#pragma once

#include <bit>
#include <cstddef>
#include <span>
#include <vector>

#include "channel.hpp"
#include "combine.hpp"

namespace divs::comm {

// One block in progress. In step k of log2(ranks), ranks that differ in bit k swap halves of what they still
// add up: each keeps one. Then the sums go back the same way. The nearest ranks swap most, so little crosses
// from one cluster to another. Ranks beyond the largest power of two (guests) add their block to a host's
// first and get the result last. Each element is added up by one rank, by one tree, so its bits are the same
// everywhere.
template <class Links, class T, class Operation>
class Halving {
  public:
    Halving(Links& channel, int slot, Operation operation)
        : channel_(channel),
          slot_(slot),
          rank_(channel.rank()),
          power_(static_cast<int>(std::bit_floor(static_cast<unsigned>(channel.size())))),
          rounds_(std::countr_zero(static_cast<unsigned>(power_))),
          operation_(operation),
          step_(last_step() + 1) {}

    bool idle() const noexcept { return step_ > last_step(); }

    void start(std::span<T> block) {
        arrived_ =
            channel_.base().template scratch<T>(slot_, has_guest() ? block.size() : (block.size() + 1) / 2);
        mine_ = {block};
        step_ = 0;
        start_step();
    }

    // Moves on where the messages of the step are through; false where they are not.
    bool advance() {
        if (!channel_.test(pair_)) return false;
        if (step_ == 0 && has_guest()) combine(channel_.base(), mine_[0], arrived_.data(), operation_);
        if (halves() && !is_guest()) combine(channel_.base(), mine_.back(), arrived_.data(), operation_);
        ++step_;
        if (!idle()) start_step();
        return true;
    }

  private:
    // Step 0: from the guests; 1 to rounds: halves; rounds + 1 to 2 rounds: back; the last: to the guests.
    int last_step() const noexcept { return 2 * rounds_ + 1; }
    bool halves() const noexcept { return step_ >= 1 && step_ <= rounds_; }
    bool is_guest() const noexcept { return rank_ >= power_; }
    bool has_guest() const noexcept { return rank_ + power_ < channel_.size(); }

    void start_step() {
        pair_[0] = pair_[1] = {};
        if (step_ == 0 || step_ == last_step()) return meet_guest(step_ == 0);
        if (is_guest()) return;
        halves() ? halve(1 << (step_ - 1)) : join(1 << (2 * rounds_ - step_));
    }

    void meet_guest(bool from_guest) {
        const std::span<T> block = mine_[0];
        if (is_guest())
            pair_[0] = from_guest ? send(block, rank_ - power_) : receive(block, rank_ - power_);
        else if (has_guest())
            pair_[0] = from_guest ? receive(arrived_.first(block.size()), rank_ + power_)
                                  : send(block, rank_ + power_);
    }

    void halve(int bit) {
        const std::span<T> whole = mine_.back();
        const std::span<T> low = whole.first(whole.size() / 2), high = whole.subspan(whole.size() / 2);
        const bool keep_high = rank_ & bit;
        const std::span<T> kept = keep_high ? high : low;
        mine_.push_back(kept);
        pair_[0] = receive(arrived_.first(kept.size()), rank_ ^ bit);
        pair_[1] = send(keep_high ? low : high, rank_ ^ bit);
    }

    void join(int bit) {
        const std::span<T> kept = mine_.back();
        mine_.pop_back();
        const std::span<T> whole = mine_.back();
        const bool kept_high = rank_ & bit;
        const std::size_t other = whole.size() - kept.size();
        pair_[0] = receive(kept_high ? whole.first(other) : whole.last(other), rank_ ^ bit);
        pair_[1] = send(kept, rank_ ^ bit);
    }

    Transfer send(std::span<T> part, int peer) {
        return channel_.send(part.data(), part.size_bytes(), peer, slot_);
    }
    Transfer receive(std::span<T> part, int peer) {
        return channel_.receive(part.data(), part.size_bytes(), peer, slot_);
    }

    Links& channel_;
    int slot_, rank_, power_, rounds_;
    Operation operation_;
    std::vector<std::span<T>> mine_;  // the block, and the half kept in each step so far
    std::span<T> arrived_;
    Transfer pair_[2];
    int step_;
};

}  // namespace divs::comm
