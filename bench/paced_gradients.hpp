// A training step that sleeps instead of computing, with the sums of a real one: gradients of a model's size,
// final layer by layer, in buckets whose lengths are tuned in the first steps.
#pragma once

#include <memory>
#include <span>

#include "divs/comm/bucket_tuner.hpp"
#include "machine.hpp"
#include "model_gradients.hpp"
#include "paced_job.hpp"

namespace divs::bench {

class PacedGradients {
  public:
    // Buckets stay as they are in the first `tuning_steps` and are then tuned; 0: never.
    PacedGradients(comm::World& world, ModelGradients model, std::span<float> arena, int tuning_steps);

    // Sums numbers whose sum is known, through the buckets. Error on a wrong one.
    void check();
    // A third of the seconds is the forward pass.
    Link::Step step(double seconds);
    std::size_t bytes() const noexcept { return arena_.size_bytes(); }
    std::size_t buckets() const noexcept { return reducer_->buckets().size(); }

  private:
    void plan(const comm::BucketProposal& lengths);

    comm::World& world_;
    ModelGradients model_;
    std::span<float> arena_;
    comm::BucketTuner tuner_;
    std::unique_ptr<comm::BucketReducer> reducer_;
};

}  // namespace divs::bench
