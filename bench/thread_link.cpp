#include "thread_link.hpp"

#include <barrier>
#include <exception>
#include <mutex>
#include <thread>

#include "divs/core/clock.hpp"

namespace divs::bench {
namespace {

// What the threads of one job share.
struct Exchange {
    explicit Exchange(int ranks) : barrier(ranks), slots(static_cast<std::size_t>(ranks)) {}
    std::barrier<> barrier;
    std::vector<std::vector<std::byte>> slots;
};

class ThreadLink : public Link {
  public:
    ThreadLink(int rank, Exchange& exchange) : rank_(rank), exchange_(exchange) {}
    int rank() const override { return rank_; }
    int size() const override { return static_cast<int>(exchange_.slots.size()); }

    comm::Work gather_into(std::vector<std::byte> mine, int, std::vector<std::vector<std::byte>>& into,
                           std::string_view) override {
        exchange_.slots[static_cast<std::size_t>(rank_)] = std::move(mine);
        barrier();
        into.clear();
        if (rank_ == 0) into = exchange_.slots;
        barrier();
        return {};
    }
    comm::Work broadcast_into(std::vector<std::byte>& bytes, int, std::string_view) override {
        if (rank_ == 0) exchange_.slots[0] = bytes;
        barrier();
        bytes = exchange_.slots[0];
        barrier();
        return {};
    }
    void barrier() override { exchange_.barrier.arrive_and_wait(); }
    void spend(double seconds) override { sleep_seconds(seconds); }
    Step step(double seconds) override {
        Stopwatch watch;
        sleep_seconds(seconds);
        const double own = watch.lap();
        barrier();
        return {own, watch.lap()};
    }

  private:
    int rank_;
    Exchange& exchange_;
};

}  // namespace

void on_threads(int ranks, const std::function<void(Link&)>& body) {
    Exchange exchange(ranks);
    std::mutex mutex;
    std::exception_ptr error;
    {
        std::vector<std::jthread> threads;
        for (int r = 0; r < ranks; ++r)
            threads.emplace_back([&, r] {
                try {
                    ThreadLink link(r, exchange);
                    body(link);
                } catch (...) {
                    const std::lock_guard lock(mutex);
                    if (!error) error = std::current_exception();
                    exchange.barrier.arrive_and_drop();  // the others go on without it, and fail or end
                }
            });
    }
    if (error) std::rethrow_exception(error);
}

}  // namespace divs::bench
