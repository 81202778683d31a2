// Sums in memory that the ranks share: each rank adds up a share of a bucket over all parts, in the order of
// the ranks, and writes the sums into all of them. Whatever the number of ranks, each reads and writes as
// much as one bucket holds; nothing is copied on the way.
#pragma once

#include <cstdint>
#include <memory>

#include "channel.hpp"
#include "divs/comm/bucket_sum.hpp"
#include "divs/comm/shared_memory.hpp"
#include "task.hpp"

namespace divs::comm {

class SharedSum {
  public:
    explicit SharedSum(std::shared_ptr<const SharedMemory> memory) : memory_(std::move(memory)) {}

    // Elements [begin, end) of all parts become their sum. Every rank calls it, in one order, once its part
    // holds its own values.
    Task add_up(Channel& channel, Range bucket);

  private:
    Task wait_for(Channel& channel, SharedMemory::Counter which) const;
    Range share_of(int rank, Range bucket) const noexcept;
    void add_up(Range share) const;

    std::shared_ptr<const SharedMemory> memory_;
    std::uint64_t turn_ = 0;  // buckets so far
};

}  // namespace divs::comm
