#include "engine.hpp"

#include <unistd.h>

#include <chrono>
#include <cmath>
#include <utility>

#include "divs/core/clock.hpp"
#include "divs/core/error.hpp"
#include "signals.hpp"

namespace divs::comm {
namespace {

std::exception_ptr not_run(const Work::State& state, int rank, std::string_view reason) {
    return std::make_exception_ptr(CommunicationError(
        fmt::format("rank {}: operation {} \"{}\" was not run: {}", rank, state.number, state.what, reason)));
}

void end(Work::State& state, std::exception_ptr error) {
    std::lock_guard lock(state.mutex);
    state.end = now_seconds();
    state.error = std::move(error);
    state.done = true;
    state.finished.notify_all();
}

std::string message_of(const std::exception_ptr& error) {
    try {
        std::rethrow_exception(error);
    } catch (const std::exception& e) {
        return e.what();
    }
}

}  // namespace

Engine::Engine(const WorldOptions& options) : options_(options), watchdog_(options.timeout_seconds) {
    if (!options_.thread) {
        open();
        watchdog_.set_watched(false);
        return;
    }
    std::promise<void> opened;
    auto ready = opened.get_future();
    {
        const SignalsBlocked blocked;
        thread_ = std::thread([this, &opened] { thread_main(opened); });
    }
    try {
        ready.get();
    } catch (...) {
        thread_.join();
        throw;
    }
}

Engine::~Engine() {
    if (thread_.joinable()) {
        {
            std::lock_guard lock(mutex_);
            closing_ = true;
        }
        posted_.notify_all();
        thread_.join();
    } else if (channel_ && !options_.thread) {
        watchdog_.set_watched(true);
        Backoff backoff;
        while (!leaving_ && (current_ || take_next())) advance(backoff);
        close();
    }
}

void Engine::open() {
    watchdog_.begin(0, "start of MPI", nullptr);
    environment_.emplace(options_.cluster_size, options_.thread || !options_.block);
    channel_.emplace(*environment_, options_, ledger_);
    topology_ = environment_->topology();
    watchdog_.know_rank(topology_.rank, topology_.host);
    watchdog_.end();
}

void Engine::close() {
    if (leaving_ || failure_)
        environment_->abandon();
    else
        watchdog_.begin(posts_ + 1, "end of MPI", nullptr);
    environment_.reset();
    watchdog_.end();
}

void Engine::thread_main(std::promise<void>& opened) {
    Backoff::sharpen_sleep();
    try {
        open();
    } catch (...) {
        opened.set_exception(std::current_exception());
        return;
    }
    opened.set_value();
    serve();
    close();
}

void Engine::serve() {
    Backoff backoff;
    while (!leaving_ && (current_ || wait_for_operation())) {
        abort_if_asked();
        advance(backoff);
    }
    if (leaving_) park();
    abort_if_asked();
}

// After leave(): nothing runs any more, but this thread alone may still end the job.
void Engine::park() {
    cancel_all("communication ended");
    std::unique_lock lock(mutex_);
    parked_ = true;
    posted_.notify_all();
    posted_.wait(lock, [&] { return closing_ || abort_code_ >= 0; });
}

// False when there is none left and the engine closes.
bool Engine::wait_for_operation() {
    const auto awake = [&] { return !queue_.empty() || closing_ || leaving_ || abort_code_ >= 0; };
    std::unique_lock lock(mutex_);
    while (!awake()) {
        const bool watching = !watches_.empty();
        const auto pause = watching ? std::chrono::microseconds(100) : std::chrono::milliseconds(5);
        if (posted_.wait_for(lock, pause, [&] { return awake() || watches_.empty() == watching; })) continue;
        lock.unlock();
        channel_->nudge();
        look();
        lock.lock();
    }
    return !queue_.empty() || abort_code_ >= 0;
}

bool Engine::take_next() {
    {
        std::lock_guard lock(mutex_);
        if (queue_.empty()) return false;
        current_.emplace(std::move(queue_.front()));
        queue_.pop_front();
    }
    {
        std::lock_guard lock(current_->state->mutex);
        current_->state->start = now_seconds();
    }
    looking_ = false;
    watchdog_.begin(current_->state->number, current_->state->what, &channel_->progress());
    return true;
}

void Engine::look() {
    Watch* first = nullptr;
    std::uint64_t number = 0;
    {
        std::lock_guard lock(mutex_);
        if (watches_.empty()) return;
        first = &watches_.front();  // stays where it is: others only append
        number = posts_;
    }
    if (!current_ && !std::exchange(looking_, true))
        watchdog_.begin(number, first->state->what, &channel_->progress());
    if (failure_) return end_watch(not_run(*first->state, topology_.rank, message_of(failure_)));
    try {
        if (first->through()) end_watch(nullptr);
    } catch (...) {
        failure_ = std::current_exception();
        end_watch(failure_);
    }
}

void Engine::end_watch(std::exception_ptr error) {
    if (std::exchange(looking_, false)) watchdog_.end();
    std::unique_lock lock(mutex_);
    const std::shared_ptr<Work::State> state = std::move(watches_.front().state);
    watches_.pop_front();
    lock.unlock();
    end(*state, std::move(error));
}

// Moves the current operation on. True when it ended.
bool Engine::step() {
    look();
    if (!current_ && !take_next()) return !looking_;
    Operation& operation = *current_;
    if (failure_) {
        finish(not_run(*operation.state, topology_.rank, message_of(failure_)));
        return true;
    }
    try {
        if (operation.started) {
            channel_->resume();
        } else {
            operation.started = true;
            channel_->begin_operation(operation.state->number);
            operation.task = operation.start(*channel_);
            operation.task.handle().resume();
        }
    } catch (...) {
        failure_ = std::current_exception();
    }
    if (!failure_ && !operation.task.done()) return false;
    if (!failure_) failure_ = operation.task.error();
    finish(failure_);
    return true;
}

void Engine::finish(std::exception_ptr error) {
    watchdog_.end();
    const std::shared_ptr<Work::State> state = std::move(current_->state);
    current_.reset();
    end(*state, std::move(error));
}

template <class Enter>
std::shared_ptr<Work::State> Engine::enlist(std::string_view what, Enter enter) {
    auto state = std::make_shared<Work::State>();
    state->what = what;
    if (!options_.thread) state->engine = this;
    {
        std::lock_guard lock(mutex_);
        if (leaving_)
            throw_error<CommunicationError>("rank {}: \"{}\" posted after communication ended",
                                            topology_.rank, what);
        enter(state);
    }
    posted_.notify_one();
    return state;
}

std::shared_ptr<Work::State> Engine::post(std::string_view what, Start start) {
    auto state = enlist(what, [&](const std::shared_ptr<Work::State>& entered) {
        entered->number = ++posts_;
        queue_.push_back({entered, std::move(start), {}});
    });
    poll();
    return state;
}

std::shared_ptr<Work::State> Engine::watch(std::string_view what, std::function<bool()> through) {
    return enlist(what, [&](const std::shared_ptr<Work::State>& entered) {
        entered->number = posts_;
        watches_.push_back({entered, std::move(through)});
    });
}

void Engine::poll() {
    if (options_.thread || leaving_) return;
    if (channel_->blocks()) channel_->collect(false);
    while (step() && (current_ || take_next())) {
    }
}

// One turn of whoever runs the operations.
void Engine::advance(Backoff& backoff) {
    const std::uint64_t seen = channel_->progress();
    if (step() || channel_->progress() != seen)
        backoff.reset();
    else
        wait_for_message(backoff);
}

void Engine::wait_for_message(Backoff& backoff) {
    const double due = channel_->take_next_due();
    if (channel_->blocks() && std::isinf(due))
        channel_->collect(true);
    else
        backoff.wait(due);
}

double Engine::work_until(double time) {
    if (!options_.thread) {
        Backoff backoff;
        while (now_seconds() < time && !leaving_ && (current_ || take_next())) advance(backoff);
        if (const double late = now_seconds() - time; late > 0) return late;
    }
    sleep_seconds(time - now_seconds());
    return 0;
}

void Engine::run_until(const Work::State& state) {
    watchdog_.set_watched(true);
    Backoff backoff;
    for (;;) {
        {
            std::lock_guard lock(state.mutex);
            if (state.done) break;
        }
        advance(backoff);
    }
    watchdog_.set_watched(false);
}

// Called by whoever runs operations. Whoever waits for an operation that will never run must hear of it.
void Engine::cancel_all(std::string_view reason) noexcept {
    while (current_ || take_next()) finish(not_run(*current_->state, topology_.rank, reason));
    for (std::unique_lock lock(mutex_); !watches_.empty(); lock.lock()) {
        lock.unlock();
        end_watch(not_run(*watches_.front().state, topology_.rank, reason));
    }
}

void Engine::leave() noexcept {
    std::unique_lock lock(mutex_);
    leaving_ = true;
    posted_.notify_all();
    if (thread_.joinable()) return posted_.wait(lock, [&] { return parked_; });
    lock.unlock();
    cancel_all("communication ended");
}

void Engine::abort_if_asked() {
    if (abort_code_ >= 0) MPI_Abort(MPI_COMM_WORLD, abort_code_);
}

void Engine::abort(int code) noexcept {
    {
        std::lock_guard lock(mutex_);
        abort_code_ = code;
    }
    posted_.notify_all();
    if (!options_.thread) abort_if_asked();
    // The thread that may call MPI does it at its next turn; where it hangs inside a call, the exit code must
    // do.
    std::this_thread::sleep_for(std::chrono::seconds(5));
    _exit(code);
}

}  // namespace divs::comm
