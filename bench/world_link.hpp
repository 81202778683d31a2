// Paced ranks that are ranks of MPI.
#pragma once

#include <utility>

#include "divs/core/clock.hpp"
#include "paced_gradients.hpp"
#include "paced_job.hpp"

namespace divs::bench {

class WorldLink : public Link {
  public:
    // `gradients`: what a step sums over the ranks; null: they only meet.
    explicit WorldLink(comm::World& world, PacedGradients* gradients = nullptr)
        : world_(world), gradients_(gradients) {}

    int rank() const override { return world_.rank(); }
    int size() const override { return world_.size(); }
    comm::Work gather_into(std::vector<std::byte> mine, int root, std::vector<std::vector<std::byte>>& into,
                           std::string_view what) override {
        return world_.gather_into(std::move(mine), root, into, what);
    }
    comm::Work broadcast_into(std::vector<std::byte>& bytes, int root, std::string_view what) override {
        return world_.broadcast_into(bytes, root, what);
    }
    void barrier() override { world_.barrier().wait(); }
    void spend(double seconds) override {
        if (seconds > 0) world_.work_until(now_seconds() + seconds);
    }
    Step step(double seconds) override {
        if (gradients_) return gradients_->step(seconds);
        Stopwatch watch;
        sleep_seconds(seconds);
        const double own = watch.lap();
        barrier();
        return {own, watch.lap()};
    }

  private:
    comm::World& world_;
    PacedGradients* gradients_;
};

}  // namespace divs::bench
