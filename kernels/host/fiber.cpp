#include "fiber.hpp"

#include <algorithm>
#include <boost/context/fiber.hpp>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
// What AddressSanitizer must be told when the stack changes; nothing without it.
static void __sanitizer_start_switch_fiber(void**, const void*, std::size_t) {}
static void __sanitizer_finish_switch_fiber(void*, const void**, std::size_t*) {}
static void __asan_unpoison_memory_region(const void*, std::size_t) {}
#endif

namespace divs::kernels::host {
namespace {

constexpr std::size_t stack_bytes = 128 << 10;  // enough under sanitizers too

enum class State { ready, at_block_barrier, at_warp_barrier, done };

// A fiber's stack, which is kept for the next block, as Boost.Context allocates it.
struct KeptStack {
    char* bytes;
    boost::context::stack_context allocate() const {
        boost::context::stack_context stack;
        stack.size = stack_bytes;
        stack.sp = bytes + stack_bytes;
        return stack;
    }
    void deallocate(boost::context::stack_context&) noexcept {}
};

struct Fiber {
    std::unique_ptr<char[]> stack{new char[stack_bytes]};
    boost::context::fiber context;  // where the thread goes on; empty before its start and after its end
    State state = State::done;
    std::uint32_t mask = 0;  // of the warp barrier that it waits at
    dim3 index;
    void* fake_stack = nullptr;  // AddressSanitizer's
};

// Ends a thread whose block has failed elsewhere.
struct Abandoned {};

// The block that runs on this thread of the host.
class Block {
  public:
    void run(dim3 size, std::size_t shared_bytes, const std::function<void()>& body,
             const std::vector<unsigned>& order) {
        body_ = &body;
        count_ = size.x * size.y * size.z;
        shared_.resize(shared_bytes / sizeof(uint4) + 1);
        std::memset(shared_.data(), 0xFF, shared_.size() * sizeof(uint4));
        slots_.assign(count_ + 32, 0);
        while (fibers_.size() < count_) fibers_.push_back(std::make_unique<Fiber>());
        for (unsigned i = 0; i < count_; ++i)
            start(*fibers_[i], dim3(i % size.x, i / size.x % size.y, i / (size.x * size.y)));
        failure_ = nullptr;
        while (!failure_ && turn(order)) release();
        if (!failure_) return;
        for (unsigned i = 0; i < count_; ++i)
            if (fibers_[i]->context) resume(i);
        std::rethrow_exception(failure_);
    }

    void wait(State state, std::uint32_t mask) {
        Fiber& fiber = *fibers_[current_];
        fiber.state = state;
        fiber.mask = mask;
        __sanitizer_start_switch_fiber(&fiber.fake_stack, scheduler_stack_, scheduler_bytes_);
        scheduler_ = std::move(scheduler_).resume();
        __sanitizer_finish_switch_fiber(fiber.fake_stack, &scheduler_stack_, &scheduler_bytes_);
        if (failure_) throw Abandoned();
    }
    void* shared() { return shared_.data(); }
    unsigned current() const { return current_; }
    std::uint64_t& slot(unsigned thread) { return slots_[thread]; }

  private:
    void start(Fiber& fiber, dim3 index) {
        fiber.state = State::ready;
        fiber.index = index;
        fiber.fake_stack = nullptr;
        __asan_unpoison_memory_region(fiber.stack.get(), stack_bytes);  // whose last frame never returned
        fiber.context = boost::context::fiber(
            std::allocator_arg, KeptStack{fiber.stack.get()},
            [this](boost::context::fiber&& scheduler) { return run_thread(std::move(scheduler)); });
    }

    // The current thread from its start to its end, on its own stack.
    boost::context::fiber run_thread(boost::context::fiber&& scheduler) {
        __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack_, &scheduler_bytes_);
        scheduler_ = std::move(scheduler);
        try {
            if (!failure_) (*body_)();
        } catch (const Abandoned&) {
        } catch (...) {
            failure_ = std::current_exception();
        }
        fibers_[current_]->state = State::done;
        __sanitizer_start_switch_fiber(nullptr, scheduler_stack_, scheduler_bytes_);
        return std::move(scheduler_);
    }

    void resume(unsigned thread) {
        Fiber& fiber = *fibers_[thread];
        current_ = thread;
        threadIdx = fiber.index;
        __sanitizer_start_switch_fiber(&scheduler_fake_stack_, fiber.stack.get(), stack_bytes);
        fiber.context = std::move(fiber.context).resume();
        __sanitizer_finish_switch_fiber(scheduler_fake_stack_, nullptr, nullptr);
    }

    // Lets each thread that can run go on until it waits or ends. False when all have ended or one has
    // failed.
    bool turn(const std::vector<unsigned>& order) {
        bool alive = false;
        for (const unsigned i : order) {
            if (fibers_[i]->state == State::ready) resume(i);
            if (failure_) return false;
            alive = alive || fibers_[i]->state != State::done;
        }
        return alive;
    }

    // Lets go on whoever has all it waits for.
    void release() {
        bool any_ready = false, all_at_barrier = true;
        for (unsigned i = 0; i < count_; ++i)
            if (fibers_[i]->state != State::done && fibers_[i]->state != State::at_block_barrier)
                all_at_barrier = false;
        for (unsigned i = 0; i < count_; ++i) {
            Fiber& fiber = *fibers_[i];
            if (fiber.state == State::at_block_barrier && all_at_barrier) fiber.state = State::ready;
            if (fiber.state == State::at_warp_barrier && lane_of(i) == first_lane(fiber.mask))
                release_warp(i);
        }
        for (unsigned i = 0; i < count_; ++i) any_ready = any_ready || fibers_[i]->state == State::ready;
        if (!any_ready)
            failure_ = std::make_exception_ptr(
                std::runtime_error("the threads of a block wait for each other: " + states()));
    }

    void release_warp(unsigned thread) {
        const unsigned base = thread - lane_of(thread);
        const std::uint32_t mask = fibers_[thread]->mask;
        for (unsigned lane = 0; lane < 32; ++lane) {
            if (!(mask >> lane & 1)) continue;
            if (base + lane >= count_) continue;  // a warp that the block does not fill
            const Fiber& fiber = *fibers_[base + lane];
            if (fiber.state != State::at_warp_barrier || fiber.mask != mask) return;
        }
        for (unsigned lane = 0; lane < 32 && base + lane < count_; ++lane)
            if (mask >> lane & 1) fibers_[base + lane]->state = State::ready;
    }

    static unsigned lane_of(unsigned thread) { return thread % 32; }
    static unsigned first_lane(std::uint32_t mask) { return static_cast<unsigned>(__builtin_ctz(mask)); }

    std::string states() const {
        unsigned counts[4] = {};
        for (unsigned i = 0; i < count_; ++i) ++counts[static_cast<unsigned>(fibers_[i]->state)];
        return std::to_string(counts[1]) + " at the block's barrier, " + std::to_string(counts[2]) +
               " at a warp's, " + std::to_string(counts[3]) + " have ended";
    }

    const std::function<void()>* body_ = nullptr;
    unsigned count_ = 0, current_ = 0;
    std::vector<std::unique_ptr<Fiber>> fibers_;  // kept for the next block
    std::vector<uint4> shared_;
    std::vector<std::uint64_t> slots_;
    boost::context::fiber scheduler_;  // where the host goes on while a thread runs
    void* scheduler_fake_stack_ = nullptr;
    const void* scheduler_stack_ = nullptr;
    std::size_t scheduler_bytes_ = 0;
    std::exception_ptr failure_;
};

thread_local Block* block = nullptr;  // this thread's; a plain pointer, as it is asked for in inner loops

std::vector<unsigned> order_of(unsigned count, std::uint64_t salt) {
    std::vector<unsigned> order(count);
    std::iota(order.begin(), order.end(), 0U);
    if (device().order == ThreadOrder::reverse) std::reverse(order.begin(), order.end());
    if (device().order == ThreadOrder::shuffled) {
        std::mt19937_64 random(device().seed * 1000003 + salt);
        std::shuffle(order.begin(), order.end(), random);
    }
    return order;
}

}  // namespace

void run_grid(dim3 grid, dim3 size, std::size_t shared_bytes, const std::function<void()>& body) {
    const unsigned threads = size.x * size.y * size.z;
    if (threads == 0 || threads > 1024) throw std::runtime_error("a block has 1 to 1024 threads");
    gridDim = grid;
    blockDim = size;
    thread_local Block kept;
    block = &kept;
    for (const unsigned b : order_of(grid.x * grid.y * grid.z, 0)) {
        blockIdx = dim3(b % grid.x, b / grid.x % grid.y, b / (grid.x * grid.y));
        block->run(size, shared_bytes, body, order_of(threads, b + 1));
    }
}

void wait_for_block() {
    block->wait(State::at_block_barrier, 0);
}
void wait_for_warp(std::uint32_t mask) {
    block->wait(State::at_warp_barrier, mask);
}
void* block_shared() {
    return block->shared();
}
int warp_lane() {
    return static_cast<int>(block->current() % 32);
}
std::uint64_t& warp_slot(int lane) {
    return block->slot(block->current() / 32 * 32 + static_cast<unsigned>(lane));
}

}  // namespace divs::kernels::host
