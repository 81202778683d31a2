// Streams and events of the double of the CUDA runtime. Work is done when it is queued, or, on streams that
// were made while device().streams asks for it, late: when somebody waits, or slowly where nobody does
// (another process may need it), by streams in an order that respects events alone. Work that lacks a wait
// for another stream comes too early.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "device_double.hpp"
#include "queue_double.hpp"

struct CUgraph_st {
    std::vector<std::function<void()>> work;
};
struct CUgraphExec_st {
    std::vector<std::function<void()>> work;
};
struct CUstream_st : divs::kernels::host::QueueDouble {
    void enqueue(std::function<bool()> work) override;

    std::unique_ptr<CUgraph_st> recording;
    bool late = false;
    std::deque<std::function<bool()>> work;  // of a late stream
};
struct CUevent_st {
    struct State {
        std::atomic<std::uint64_t> recorded{0}, reached{0};
        std::atomic<double> seconds{0};
        bool passed() const { return reached >= recorded; }
    };
    std::shared_ptr<State> state = std::make_shared<State>();
};

namespace divs::kernels::host {

// The late streams of this process; any thread.
class LateStreams {
  public:
    ~LateStreams();
    void add(CUstream_st& stream, StreamOrder order, std::uint64_t seed);
    void remove(CUstream_st& stream);
    void push(CUstream_st& stream, std::function<bool()> work);
    // Does one piece of work, if there is one that can be done.
    void advance();
    // Works until `done`, which may look at queues. True where it had to.
    bool advance_until(const std::function<bool()>& done);
    bool idle() const;  // within `done`

  private:
    bool advance_locked();
    void work_slowly();

    std::mutex mutex_;
    std::vector<CUstream_st*> streams_;  // by age
    StreamOrder order_ = StreamOrder::shuffled;
    std::mt19937_64 random_;
    std::uint64_t done_ = 0;  // pieces of work
    bool ending_ = false;
    std::condition_variable end_;
    std::thread slow_;
};
LateStreams& late_streams();

}  // namespace divs::kernels::host
