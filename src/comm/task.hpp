// An operation in progress. It is a coroutine: it pauses where its messages are not there yet, so the same
// algorithm runs on the communication thread, which backs off and resumes it, and on a program's only thread,
// which resumes it between two layers.
#pragma once

#include <coroutine>
#include <exception>
#include <utility>

namespace divs::comm {

// Owned by whoever awaits or drives it. Starts when first resumed or awaited.
class [[nodiscard]] Task {
  public:
    struct promise_type;
    using Handle = std::coroutine_handle<promise_type>;

    struct promise_type {
        std::coroutine_handle<> awaiting = std::noop_coroutine();  // goes on when this one ends
        std::exception_ptr error;

        struct Final {
            bool await_ready() noexcept { return false; }
            std::coroutine_handle<> await_suspend(Handle ended) noexcept { return ended.promise().awaiting; }
            void await_resume() noexcept {}
        };
        Task get_return_object() { return Task(Handle::from_promise(*this)); }
        std::suspend_always initial_suspend() noexcept { return {}; }
        Final final_suspend() noexcept { return {}; }
        void return_void() noexcept {}
        void unhandled_exception() noexcept { error = std::current_exception(); }
    };

    Task() = default;
    Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    Task& operator=(Task&& other) noexcept {
        std::swap(handle_, other.handle_);
        return *this;
    }
    ~Task() {
        if (handle_) handle_.destroy();
    }

    std::coroutine_handle<> handle() const noexcept { return handle_; }
    bool done() const noexcept { return !handle_ || handle_.done(); }
    std::exception_ptr error() const noexcept { return handle_ ? handle_.promise().error : nullptr; }

    // co_await task: runs it as a part of the awaiting one.
    bool await_ready() const noexcept { return done(); }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiting) noexcept {
        handle_.promise().awaiting = awaiting;
        return handle_;
    }
    void await_resume() const {
        if (error()) std::rethrow_exception(error());
    }

  private:
    explicit Task(Handle handle) noexcept : handle_(handle) {}
    Handle handle_;
};

}  // namespace divs::comm
