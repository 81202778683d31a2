#include "nccl_start.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include "access.hpp"
#include "divs/core/clock.hpp"
#include "divs/core/error.hpp"
#include "reduce.hpp"
#include "watchdog.hpp"

namespace divs::comm {
namespace {

constexpr std::size_t trial_elements = 16;
constexpr double round_seconds = 0.01;  // between two questions whether all have come through

// One rank's way into the communicator, moved along without waiting.
class Start {
  public:
    Start(std::shared_ptr<NcclCommunicator> communicator, std::shared_ptr<DeviceStream> stream,
          std::span<float> trial, double limit)
        : communicator_(std::move(communicator)), stream_(std::move(stream)), trial_(trial), limit_(limit) {}

    bool failed() const noexcept { return !failure_.empty(); }
    const std::string& failure() const noexcept { return failure_; }
    bool through() const noexcept { return stage_ == Stage::through; }
    void fail(std::string why) { failure_ = std::move(why); }

    void advance(const nccl::UniqueId& id) {
        if (failed() || through()) return;
        try {
            step(id);
        } catch (const Error& e) {
            failure_ = e.what();
        }
        if (!failed() && !through() && now_seconds() > limit_)
            failure_ =
                stage_ == Stage::trying ? "the first sum did not come back" : "the other ranks did not come";
    }

  private:
    enum class Stage { outside, starting, trying, through };

    void step(const nccl::UniqueId& id) {
        if (stage_ == Stage::outside) {
            communicator_->start(id);
            stage_ = Stage::starting;
        } else if (stage_ == Stage::starting && communicator_->accepted()) {
            tried_ = stream_->make_mark();
            stream_->mark_compute(*tried_);  // the arena's first zeros may still be on their way
            stream_->wait_for(*tried_);
            communicator_->all_reduce(trial_);
            stage_ = Stage::trying;
        } else if (stage_ == Stage::trying && communicator_->accepted()) {
            if (!marked_) stream_->mark(*tried_);
            marked_ = true;
            if (stream_->reached(*tried_)) stage_ = Stage::through;
        }
    }

    std::shared_ptr<NcclCommunicator> communicator_;
    std::shared_ptr<DeviceStream> stream_;
    std::span<float> trial_;
    double limit_;
    Stage stage_ = Stage::outside;
    std::unique_ptr<DeviceMark> tried_;
    bool marked_ = false;
    std::string failure_;
};

// Ends on all ranks at once: when all are through, or one has failed. `start`: null where the rank takes no
// part.
Task run_start(Channel& channel, Start* start, const nccl::UniqueId& id) {
    for (;;) {
        std::int64_t state[2] = {0, 0};  // ranks on their way, ranks that failed
        if (start) {
            start->advance(id);
            state[0] = !start->through() && !start->failed();
            state[1] = start->failed();
        }
        co_await reduce(channel, std::span<std::int64_t>(state), [](auto a, auto b) { return a + b; });
        if (state[0] == 0 || state[1] > 0) co_return;
        const double until = now_seconds() + round_seconds;
        while (now_seconds() < until) co_await channel.pause();
    }
}

nccl::UniqueId share_id(World& world, int leader, const NcclLibrary* library, Start* start) {
    nccl::UniqueId id{};
    if (world.rank() == leader) {
        try {
            id = NcclCommunicator::make_id(*library);
        } catch (const Error& e) {
            start->fail(e.what());
        }
    }
    world.broadcast(std::as_writable_bytes(std::span(&id, 1)), leader, "NCCL's id").wait();
    return id;
}

std::string collect_failures(World& world, const Start* start) {
    const std::string mine = start && start->failed() ? fmt::format("rank {} on {}: {}", world.rank(),
                                                                    world.host(), start->failure())
                                                      : "";
    std::string all;
    for (const auto& words : world.all_gather(std::as_bytes(std::span(mine)), "NCCL's failures"))
        if (!words.empty())
            all += fmt::format("{}{}", all.empty() ? "" : "; ",
                               std::string_view(reinterpret_cast<const char*>(words.data()), words.size()));
    return all;
}

}  // namespace

StartedNccl start_nccl(World& world, const PathPlan& plan, std::shared_ptr<const NcclLibrary> library,
                       std::shared_ptr<DeviceStream> stream, std::span<float> gradients, double seconds) {
    StartedNccl started;
    std::unique_ptr<Start> start;
    if (plan.uses_nccl(world.rank())) {
        const auto place = std::ranges::lower_bound(plan.nccl_ranks, world.rank()) - plan.nccl_ranks.begin();
        started.communicator = std::make_shared<NcclCommunicator>(library, stream, static_cast<int>(place),
                                                                  static_cast<int>(plan.nccl_ranks.size()));
        start = std::make_unique<Start>(started.communicator, stream,
                                        gradients.first(std::min(gradients.size(), trial_elements)),
                                        now_seconds() + seconds);
    }
    const nccl::UniqueId id = share_id(world, plan.nccl_ranks.front(), library.get(), start.get());
    WorldAccess::post(world, "start of NCCL", [&](Channel& channel) {
        return run_start(channel, start.get(), id);
    }).wait();
    started.failure = collect_failures(world, start.get());
    if (!started.failure.empty()) {
        if (started.communicator) started.communicator->abort();
        started.communicator = nullptr;
    } else if (started.communicator) {
        WorldAccess::watchdog(world).before_end([weak = std::weak_ptr(started.communicator)] {
            if (const auto communicator = weak.lock()) communicator->abort();
        });
    }
    return started;
}

}  // namespace divs::comm
