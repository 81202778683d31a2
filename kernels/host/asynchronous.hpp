// Work that a thread starts and later waits for, in groups. A test of a pipeline wants both extremes: done at
// once (what it overwrites is lost the earliest), and done at the wait (what it reads is read the latest).
// Which, follows the order of the threads: forward is at once.
#pragma once

#include <deque>
#include <functional>
#include <utility>
#include <vector>

#include "fiber.hpp"

namespace divs::kernels::host {

class GroupedWork {
  public:
    void add(std::function<void()> work) {
        if (device().order == ThreadOrder::forward)
            work();
        else
            open_.push_back(std::move(work));
    }
    void commit() { groups_.push_back(std::exchange(open_, {})); }
    void wait(std::size_t left) {
        for (; groups_.size() > left; groups_.pop_front())
            for (const auto& work : groups_.front()) work();
    }

  private:
    std::vector<std::function<void()>> open_;
    std::deque<std::vector<std::function<void()>>> groups_;
};

// Of the running thread; Kind keeps kinds of work apart.
template <int Kind>
GroupedWork& grouped_work() {
    static thread_local std::vector<GroupedWork> of(1024);
    return of[threadIdx.x];
}

}  // namespace divs::kernels::host
