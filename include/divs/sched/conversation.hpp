// The conversation of the ranks with the scheduler, carried beside the training steps: reports are gathered
// after a step, the decision is broadcast one step later, and all ranks apply it before the step that it
// names.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "divs/sched/decision.hpp"

namespace divs::sched {

// Carrier: gather_into(mine, root, into, what) and broadcast_into(bytes, root, what), which give something to
// wait() for, as comm::World has them.
template <class Carrier>
class Conversation {
  public:
    using Reports = std::span<const std::vector<std::byte>>;
    using Decide = std::function<Decision(Reports)>;

    // `decide`: the scheduler's, on rank 0; empty elsewhere.
    Conversation(Carrier& carrier, int lag, Decide decide)
        : carrier_(carrier), lag_(lag), decide_(std::move(decide)) {}

    // Whether to begin one now. A decision that could not take effect before the epoch ends is not worth
    // asking for.
    bool due(std::int64_t step, int interval, std::uint64_t samples_left, int batch) const {
        const auto needed = static_cast<std::uint64_t>(lag_ + 1) * static_cast<std::uint64_t>(batch);
        return !talk_ && (step + 1) % interval == 0 && samples_left > needed;
    }
    // Whether after_step(step) gives a decision.
    bool ends(std::int64_t step) const { return talk_ && step + 1 == talk_->report_step + lag_; }
    // After step `step`, with this rank's report. Collective.
    void begin(std::int64_t step, std::vector<std::byte> report) {
        talk_.emplace();
        talk_->report_step = step;
        talk_->gathered = carrier_.gather_into(std::move(report), 0, talk_->reports, "reports");
    }

    // After step `step`, at once too where the lag is one step: carries on. Gives the decision that takes
    // effect now, if any.
    std::optional<Decision> after_step(std::int64_t step) {
        if (!talk_ || (lag_ > 1 && step == talk_->report_step)) return std::nullopt;
        if (!talk_->broadcast) decide();
        if (!ends(step)) return std::nullopt;
        talk_->decided.wait();
        auto decision = Decision::unpack(talk_->decision);
        talk_.reset();
        return decision;
    }

    // Waits for messages under way; what they would decide is dropped, equally on all ranks.
    void end() {
        if (!talk_) return;
        talk_->gathered.wait();
        if (talk_->broadcast) talk_->decided.wait();
        talk_.reset();
    }

  private:
    using Work = decltype(std::declval<Carrier&>().broadcast_into(std::declval<std::vector<std::byte>&>(), 0,
                                                                  std::string_view()));
    struct Talk {
        std::int64_t report_step = 0;
        std::vector<std::vector<std::byte>> reports;  // rank 0
        std::vector<std::byte> decision;
        Work gathered, decided;
        bool broadcast = false;
    };

    void decide() {
        if (decide_) {
            talk_->gathered.wait();
            talk_->decision = decide_(talk_->reports).pack();
        }
        talk_->decided = carrier_.broadcast_into(talk_->decision, 0, "decision");
        talk_->broadcast = true;
    }

    Carrier& carrier_;
    int lag_;
    Decide decide_;
    std::optional<Talk> talk_;
};

}  // namespace divs::sched
