// Runs posted operations one after the other, strictly in the order of posting: on a thread of its own, or on
// the calling thread wherever that polls or waits.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "backoff.hpp"
#include "channel.hpp"
#include "divs/comm/world.hpp"
#include "environment.hpp"
#include "task.hpp"
#include "watchdog.hpp"

namespace divs::comm {

class Engine;

struct Work::State {
    std::uint64_t number = 0;
    std::string what;
    Engine* engine = nullptr;  // where nobody but the waiting thread runs operations

    mutable std::mutex mutex;  // of all below
    std::condition_variable finished;
    bool done = false;
    std::exception_ptr error;
    double start = 0, end = 0, waited = 0;  // now_seconds(); seconds
};

class Engine {
  public:
    using Start = std::function<Task(Channel&)>;

    explicit Engine(const WorldOptions& options);
    ~Engine();
    Engine(const Engine&) = delete;

    const WorldOptions& options() const noexcept { return options_; }
    const Topology& topology() const noexcept { return topology_; }
    const ByteLedger& ledger() const noexcept { return ledger_; }
    Watchdog& watchdog() noexcept { return watchdog_; }

    std::shared_ptr<Work::State> post(std::string_view what, Start start);
    // Looks, beside the operations, whether this has come through; it waits for no turn and is not numbered,
    // so ranks may differ in it. What it throws ends communication like an operation's error.
    std::shared_ptr<Work::State> watch(std::string_view what, std::function<bool()> through);
    // Runs operations on the calling thread until the given one is done. Nothing where a thread runs them.
    void run_until(const Work::State& state);
    // Moves operations along on the calling thread, without waiting. Nothing where a thread runs them.
    void poll();
    // See World::work_until.
    double work_until(double time);
    // Ends all communication now; the process is to end without MPI_Finalize.
    void leave() noexcept;
    [[noreturn]] void abort(int code) noexcept;

  private:
    struct Operation {
        std::shared_ptr<Work::State> state;
        Start start;  // holds what the task refers to
        Task task;
        bool started = false;
    };

    struct Watch {
        std::shared_ptr<Work::State> state;
        std::function<bool()> through;
    };

    // The state of something new to run or to watch; `enter` puts it into its queue, under the lock.
    template <class Enter>
    std::shared_ptr<Work::State> enlist(std::string_view what, Enter enter);

    void open();
    void close();
    void thread_main(std::promise<void>& opened);
    void serve();
    void park();
    bool wait_for_operation();
    bool take_next();
    bool step();
    void finish(std::exception_ptr error);
    void look();
    void end_watch(std::exception_ptr error);
    void advance(Backoff& backoff);
    void wait_for_message(Backoff& backoff);
    void cancel_all(std::string_view reason) noexcept;
    void abort_if_asked();

    const WorldOptions options_;
    ByteLedger ledger_;
    Watchdog watchdog_;
    std::optional<Environment> environment_;  // made, used and destroyed by the thread that calls MPI
    std::optional<Channel> channel_;
    Topology topology_;

    std::mutex mutex_;  // of the queue and of the flags below
    std::condition_variable posted_;
    std::deque<Operation> queue_;
    std::deque<Watch> watches_;  // one after the other
    std::uint64_t posts_ = 0;
    bool closing_ = false, parked_ = false;

    std::optional<Operation> current_;  // of the thread that calls MPI
    bool looking_ = false;              // the watchdog hears of the watch, there being no operation
    std::exception_ptr failure_;        // the first error: nothing runs after it
    std::atomic<bool> leaving_{false};
    std::atomic<int> abort_code_{-1};
    std::thread thread_;
};

}  // namespace divs::comm
