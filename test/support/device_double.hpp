// A device that is none: two queues of work over host memory, worked off by a thread in an order of its own,
// late and in turns. Work that does not wait for what it needs comes too early and gives wrong sums.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "divs/core/clock.hpp"
#include "divs/core/device_stream.hpp"
#include "divs/core/error.hpp"
#include "divs/core/random.hpp"
#include "kernels/host/queue_double.hpp"

namespace divs::test {

using kernels::host::QueueDouble;  // what stands behind DeviceStream::handle()

class DeviceDouble : public DeviceStream, private QueueDouble {
  public:
    explicit DeviceDouble(DeviceIdentity identity, std::uint64_t seed = 1)
        : identity_(std::move(identity)), random_(seed, Stream::test, 4711), thread_([this] { work(); }) {}
    ~DeviceDouble() override {
        {
            std::lock_guard lock(mutex_);
            ending_ = true;
        }
        changed_.notify_all();
        thread_.join();
    }

    // For the side that computes.
    void compute(std::function<void()> work) {
        push(computing, [work = std::move(work)] { return work(), true; });
    }
    // Waits for all that computes.
    void drain() {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return queues_[computing].empty(); });
    }
    void lose() { lost_ = true; }  // from here on every call fails

    const DeviceIdentity& identity() const noexcept override { return identity_; }
    void* handle() const noexcept override {
        return const_cast<QueueDouble*>(static_cast<const QueueDouble*>(this));
    }
    void activate() override { require("cudaSetDevice"); }
    std::unique_ptr<DeviceMark> make_mark() override { return std::make_unique<Mark>(); }

    std::unique_ptr<PinnedMemory> allocate_pinned(std::size_t elements) override {
        struct Pinned : PinnedMemory {
            explicit Pinned(std::size_t n) : memory(n) {}
            std::span<float> values() noexcept override { return memory; }
            std::vector<float> memory;
        };
        return std::make_unique<Pinned>(elements);
    }

    void mark_compute(DeviceMark& mark) override { record(computing, mark); }
    void mark(DeviceMark& mark) override { record(communicating, mark); }
    void wait_for(DeviceMark& mark) override { wait(communicating, mark); }
    void compute_waits_for(DeviceMark& mark) override { wait(computing, mark); }
    void copy_to_host(std::span<float> pinned, std::span<const float> device) override {
        copy(pinned, device);
    }
    void copy_to_device(std::span<float> device, std::span<const float> pinned) override {
        copy(device, pinned);
    }
    bool reached(const DeviceMark& mark) override {
        require("cudaEventQuery");
        const State& state = *static_cast<const Mark&>(mark).state;
        return state.reached == state.wanted;
    }
    double seconds_between(const DeviceMark& first, const DeviceMark& second) override {
        return static_cast<const Mark&>(second).state->time - static_cast<const Mark&>(first).state->time;
    }

  private:
    enum Queue { computing, communicating };
    struct State {
        std::atomic<std::uint64_t> wanted{0}, reached{0};
        std::atomic<double> time{0};
    };
    struct Mark : DeviceMark {
        std::shared_ptr<State> state = std::make_shared<State>();
    };

    void require(const char* call) const {
        if (lost_) throw Error(std::string(call) + ": the device is lost (unspecified launch failure)");
    }
    void enqueue(std::function<bool()> work) override { push(communicating, std::move(work)); }
    void push(Queue queue, std::function<bool()> work) {
        require("a kernel launch");
        {
            std::lock_guard lock(mutex_);
            queues_[queue].push_back(std::move(work));
        }
        changed_.notify_all();
    }
    void record(Queue queue, DeviceMark& mark) {
        push(queue,
             [state = static_cast<Mark&>(mark).state, turn = ++static_cast<Mark&>(mark).state->wanted] {
                 state->time = now_seconds();
                 state->reached = turn;
                 return true;
             });
    }
    // For the mark as it was set last; one that was never set is no reason to wait, as in CUDA.
    void wait(Queue queue, DeviceMark& mark) {
        const auto state = static_cast<Mark&>(mark).state;
        push(queue, [state, turn = state->wanted.load()] { return state->reached >= turn; });
    }
    void copy(std::span<float> into, std::span<const float> from) {
        if (into.size() != from.size()) throw Error("cudaMemcpyAsync: lengths differ");
        push(communicating, [into, from] { return std::copy(from.begin(), from.end(), into.begin()), true; });
    }

    void work() {
        std::unique_lock lock(mutex_);
        for (std::uint64_t turn = 0; !ending_; ++turn) {
            const auto pick = static_cast<std::size_t>(random_.below(turn, 2));
            auto& queue = queues_[queues_[pick].empty() ? 1 - pick : pick];
            if (queue.empty()) {
                changed_.wait_for(lock, std::chrono::milliseconds(1));
                continue;
            }
            auto& head = queue.front();  // stays where it is: others only append
            lock.unlock();
            if (random_.below(turn + (std::uint64_t{1} << 40), 8) == 0)
                std::this_thread::sleep_for(std::chrono::microseconds(100));
            const bool done = head();
            if (!done) std::this_thread::sleep_for(std::chrono::microseconds(20));
            lock.lock();
            if (!done) continue;
            queue.pop_front();
            changed_.notify_all();
        }
    }

    const DeviceIdentity identity_;
    const Random random_;
    std::mutex mutex_;  // of the queues
    std::condition_variable changed_;
    std::deque<std::function<bool()>> queues_[2];
    bool ending_ = false;
    std::atomic<bool> lost_{false};
    std::thread thread_;
};

}  // namespace divs::test
