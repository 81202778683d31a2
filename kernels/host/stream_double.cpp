#include "stream_double.hpp"

#include <algorithm>
#include <chrono>
#include <thread>

void CUstream_st::enqueue(std::function<bool()> next) {
    if (late)
        divs::kernels::host::late_streams().push(*this, std::move(next));
    else
        while (!next()) std::this_thread::yield();
}

namespace divs::kernels::host {

LateStreams& late_streams() {
    static LateStreams streams;
    return streams;
}

LateStreams::~LateStreams() {
    {
        const std::lock_guard lock(mutex_);
        ending_ = true;
    }
    end_.notify_all();
    if (slow_.joinable()) slow_.join();
}

void LateStreams::work_slowly() {
    std::unique_lock lock(mutex_);
    for (std::uint64_t seen = 0;
         !end_.wait_for(lock, std::chrono::milliseconds(2), [&] { return ending_; });) {
        if (seen == done_) advance_locked();
        seen = done_;
    }
}

void LateStreams::add(CUstream_st& stream, StreamOrder order, std::uint64_t seed) {
    const std::lock_guard lock(mutex_);
    stream.late = true;
    streams_.push_back(&stream);
    order_ = order;
    random_.seed(seed);
    if (!slow_.joinable()) slow_ = std::thread([this] { work_slowly(); });
}

void LateStreams::remove(CUstream_st& stream) {
    const std::lock_guard lock(mutex_);
    std::erase(streams_, &stream);
}

void LateStreams::push(CUstream_st& stream, std::function<bool()> work) {
    const std::lock_guard lock(mutex_);
    stream.work.push_back(std::move(work));
}

bool LateStreams::advance_locked() {
    std::vector<CUstream_st*> busy;
    std::ranges::copy_if(streams_, std::back_inserter(busy), [](auto* s) { return !s->work.empty(); });
    if (order_ == StreamOrder::youngest_first) std::ranges::reverse(busy);
    if (order_ == StreamOrder::shuffled) std::ranges::shuffle(busy, random_);
    for (CUstream_st* stream : busy)
        if (stream->work.front()()) {
            stream->work.pop_front();
            ++done_;
            return true;
        }
    return false;
}

void LateStreams::advance() {
    const std::lock_guard lock(mutex_);
    advance_locked();
}

bool LateStreams::advance_until(const std::function<bool()>& done) {
    for (bool had_to = false;; had_to = true) {
        {
            const std::lock_guard lock(mutex_);
            if (done()) return had_to;
            if (advance_locked()) continue;
        }
        std::this_thread::sleep_for(std::chrono::microseconds(20));  // for another process, or thread
    }
}

bool LateStreams::idle() const {
    return std::ranges::all_of(streams_, [](const auto* s) { return s->work.empty(); });
}

}  // namespace divs::kernels::host
