// Some of the ranks, numbered from 0, for algorithms that are written over a Channel's ranks.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include "channel.hpp"

namespace divs::comm {

class Subset {
  public:
    // Ascending; this rank is one of them.
    Subset(Channel& channel, std::span<const int> ranks)
        : channel_(channel),
          ranks_(ranks.begin(), ranks.end()),
          rank_(static_cast<int>(std::ranges::find(ranks_, channel.rank()) - ranks_.begin())) {}

    int rank() const noexcept { return rank_; }
    int size() const noexcept { return static_cast<int>(ranks_.size()); }
    Transfer send(const void* data, std::size_t bytes, int peer, int slot = 0) {
        return channel_.send(data, bytes, ranks_[static_cast<std::size_t>(peer)], slot);
    }
    Transfer receive(void* data, std::size_t bytes, int peer, int slot = 0) {
        return channel_.receive(data, bytes, ranks_[static_cast<std::size_t>(peer)], slot);
    }
    bool test(Transfer& transfer) { return channel_.test(transfer); }
    bool test(std::span<Transfer> transfers) { return channel_.test(transfers); }
    auto pause() noexcept { return channel_.pause(); }
    Channel& base() noexcept { return channel_; }

  private:
    Channel& channel_;
    std::vector<int> ranks_;
    int rank_;
};

}  // namespace divs::comm
