// Ends the process when an operation makes no progress: the only way out when a peer is stopped or a cable is
// cut.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace divs::comm {

class Watchdog {
  public:
    // 0 seconds: none.
    explicit Watchdog(double timeout_seconds);
    ~Watchdog();
    Watchdog(const Watchdog&) = delete;

    void know_rank(int rank, const std::string& host);
    void describe_activity(std::string text);

    // An operation runs from begin to end. `progress` counts whatever it does; it lives until end.
    void begin(std::uint64_t number, const std::string& what, const std::atomic<std::uint64_t>* progress);
    void end();
    // Whether anybody runs the operation. Where the program's own thread must, time between its turns does
    // not count.
    void set_watched(bool watched);
    // Done before the process is ended, on a thread of its own, for a second or two at most: it must own what
    // it uses.
    void before_end(std::function<void()> last_act);

  private:
    void watch();
    [[noreturn]] void end_process(double stalled_seconds);

    const double timeout_;
    std::mutex mutex_;  // of all below
    std::condition_variable stop_;
    bool stopping_ = false, busy_ = false, watched_ = true;
    int rank_ = -1;
    std::uint64_t number_ = 0;
    std::string host_, what_, activity_ = "nothing";
    const std::atomic<std::uint64_t>* progress_ = nullptr;
    std::vector<std::function<void()>> last_acts_;
    std::thread thread_;
};

}  // namespace divs::comm
