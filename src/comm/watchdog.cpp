#include "watchdog.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "divs/core/clock.hpp"
#include "divs/core/error.hpp"
#include "signals.hpp"
#include "time_limit.hpp"

namespace divs::comm {
namespace {

constexpr double last_act_seconds = 2;

}  // namespace

Watchdog::Watchdog(double timeout_seconds) : timeout_(timeout_seconds) {
    char name[256] = "";
    gethostname(name, sizeof name - 1);
    host_ = name;
    const SignalsBlocked blocked;
    if (timeout_ > 0) thread_ = std::thread([this] { watch(); });
}

Watchdog::~Watchdog() {
    {
        std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    stop_.notify_all();
    if (thread_.joinable()) thread_.join();
}

void Watchdog::know_rank(int rank, const std::string& host) {
    std::lock_guard lock(mutex_);
    rank_ = rank;
    host_ = host;
}

void Watchdog::describe_activity(std::string text) {
    std::lock_guard lock(mutex_);
    activity_ = std::move(text);
}

void Watchdog::begin(std::uint64_t number, const std::string& what,
                     const std::atomic<std::uint64_t>* progress) {
    std::lock_guard lock(mutex_);
    busy_ = true;
    number_ = number;
    what_ = what;
    progress_ = progress;
}

void Watchdog::end() {
    std::lock_guard lock(mutex_);
    busy_ = false;
    progress_ = nullptr;
}

void Watchdog::set_watched(bool watched) {
    std::lock_guard lock(mutex_);
    watched_ = watched;
}

void Watchdog::before_end(std::function<void()> last_act) {
    std::lock_guard lock(mutex_);
    last_acts_.push_back(std::move(last_act));
}

void Watchdog::watch() {
    const double period = std::clamp(timeout_ / 20, 0.005, 1.0);
    double stalled = 0;
    std::pair<std::uint64_t, std::uint64_t> last{~std::uint64_t{0}, 0};  // operation, its progress
    Stopwatch clock;
    std::unique_lock lock(mutex_);
    while (!stop_.wait_for(lock, std::chrono::duration<double>(period), [&] { return stopping_; })) {
        // A tick counts at most twice its length: a process that was itself stopped for long is not to blame
        // the others.
        const double elapsed = std::min(clock.lap(), 2 * period);
        const std::pair<std::uint64_t, std::uint64_t> seen{number_, progress_ ? progress_->load() : 0};
        stalled = busy_ && watched_ && seen == last ? stalled + elapsed : 0;
        last = seen;
        if (stalled > timeout_) end_process(stalled);
    }
}

// No MPI, no log, no destructors: whatever hangs may hold any of their locks.
void Watchdog::end_process(double stalled_seconds) {
    const std::string line = fmt::format(
        "divs: watchdog: host {}, rank {}, pid {}: operation {} \"{}\" made no progress for {:.1f} s "
        "(comm.timeout_s = {}); "
        "last activity: {}\n",
        host_, rank_, getpid(), number_, what_, stalled_seconds, timeout_, activity_);
    [[maybe_unused]] const auto written = write(STDERR_FILENO, line.data(), line.size());
    for (const auto& last_act : last_acts_) ends_within(last_act_seconds, last_act);
    _exit(static_cast<int>(ExitCode::hang));
}

}  // namespace divs::comm
