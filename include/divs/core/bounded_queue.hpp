// A queue between two stages, bounded by the bytes it holds.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>

namespace divs {

// Many producers, many consumers. An item larger than the capacity passes when the queue is empty, so nothing is
// ever too large. close() ends it: producers are turned away, consumers get what is left and then nothing.
template <class T>
class BoundedQueue {
  public:
    explicit BoundedQueue(std::size_t capacity_bytes) : capacity_(capacity_bytes) {}

    // Waits for room. False when the queue was closed: the item is dropped.
    bool push(T item, std::size_t bytes) {
        std::unique_lock lock(mutex_);
        room_.wait(lock, [&] { return closed_ || items_.empty() || held_ + bytes <= capacity_; });
        if (closed_) return false;
        held_ += bytes;
        peak_ = held_ > peak_ ? held_ : peak_;
        items_.emplace_back(std::move(item), bytes);
        filled_.notify_one();
        return true;
    }

    // Waits for an item. Nothing when the queue is closed and empty.
    std::optional<T> pop() {
        std::unique_lock lock(mutex_);
        filled_.wait(lock, [&] { return closed_ || !items_.empty(); });
        return take();
    }

    // Never waits. Nothing when the queue is empty.
    std::optional<T> try_pop() {
        std::lock_guard lock(mutex_);
        return take();
    }

    void close() {
        std::lock_guard lock(mutex_);
        closed_ = true;
        room_.notify_all();
        filled_.notify_all();
    }

    std::size_t held_bytes() const {
        std::lock_guard lock(mutex_);
        return held_;
    }
    std::size_t peak_bytes() const {
        std::lock_guard lock(mutex_);
        return peak_;
    }

  private:
    std::optional<T> take() {
        if (items_.empty()) return std::nullopt;
        auto [item, bytes] = std::move(items_.front());
        items_.pop_front();
        held_ -= bytes;
        room_.notify_all();
        return std::optional<T>(std::move(item));
    }

    const std::size_t capacity_;
    mutable std::mutex mutex_;
    std::condition_variable room_, filled_;
    std::deque<std::pair<T, std::size_t>> items_;
    std::size_t held_ = 0, peak_ = 0;
    bool closed_ = false;
};

}  // namespace divs
