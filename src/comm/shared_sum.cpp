#include "shared_sum.hpp"

#include <algorithm>
#include <array>

namespace divs::comm {

Task SharedSum::add_up(Channel& channel, Range bucket) {
    ++turn_;
    memory_->count(SharedMemory::filled, turn_);
    co_await wait_for(channel, SharedMemory::filled);
    const std::size_t mine = share_of(memory_->rank(), bucket).size() * sizeof(float);
    for (int peer = 0; peer < memory_->ranks(); ++peer)
        if (peer != memory_->rank())
            channel.begin_sharing(peer, mine + share_of(peer, bucket).size() * sizeof(float));
    add_up(share_of(memory_->rank(), bucket));
    memory_->count(SharedMemory::summed, turn_);
    co_await wait_for(channel, SharedMemory::summed);
    for (int peer = 0; peer < memory_->ranks(); ++peer)
        if (peer != memory_->rank()) channel.end_sharing(peer);
}

Task SharedSum::wait_for(Channel& channel, SharedMemory::Counter which) const {
    while (!memory_->all_reached(which, turn_)) co_await channel.pause();
    channel.count_progress();
}

// Shares meet between cache lines.
Range SharedSum::share_of(int rank, Range bucket) const noexcept {
    constexpr std::size_t line = 64 / sizeof(float);
    const auto ranks = static_cast<std::size_t>(memory_->ranks());
    const auto cut = [&](std::size_t index) {
        const std::size_t at = bucket.begin + bucket.size() * index / ranks;
        return index == 0       ? bucket.begin
               : index == ranks ? bucket.end
                                : std::max(bucket.begin, at / line * line);
    };
    const auto index = static_cast<std::size_t>(rank);
    return {cut(index), cut(index + 1)};
}

void SharedSum::add_up(Range share) const {
    constexpr std::size_t block = 2048;  // elements: fits the nearest cache beside what is added to it
    std::array<float, block> sums;
    for (std::size_t at = share.begin; at < share.end; at += block) {
        const std::size_t size = std::min(block, share.end - at);
        std::ranges::copy(memory_->part(0).subspan(at, size), sums.begin());
        for (int rank = 1; rank < memory_->ranks(); ++rank) {
            const float* const more = memory_->part(rank).data() + at;
            for (std::size_t i = 0; i < size; ++i) sums[i] += more[i];
        }
        for (int rank = 0; rank < memory_->ranks(); ++rank)
            std::copy_n(sums.begin(), size, memory_->part(rank).begin() + static_cast<std::ptrdiff_t>(at));
    }
}

}  // namespace divs::comm
