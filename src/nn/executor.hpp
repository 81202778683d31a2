// Runs a model's plans: forward, loss, backward, in one fixed order of operations and announcements.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "arena.hpp"
#include "plan.hpp"

namespace divs::nn {

// The memory that holds a model's numbers, on its backend.
struct ModelMemory {
    std::shared_ptr<Storage> parameters, gradients, buffers;
};

class Executor {
  public:
    Executor(const ModelSpec& spec, Backend& backend, const ArenaLayout& layout, const ModelMemory& memory,
             Reducer* reducer);

    // Plans depend on what is frozen: they are made again.
    void forget_plans() noexcept { plans_.clear(); }
    void record_steps(const RecordOptions& options);
    void place_gradients(std::shared_ptr<Storage> storage);

    void step(const Batch& batch, const LossSettings& loss, const Model::GradientReady& ready);
    LossSum loss();
    void look_again(const Batch& batch);
    void empty_step(const Model::GradientReady& ready);
    void predict(const Batch& batch, std::span<float> logits);

    std::string first_not_finite();
    std::size_t tensor_bytes() const noexcept { return tensors_ ? tensors_->bytes() : 0; }
    const StepSeconds& seconds() const noexcept { return seconds_; }
    void profile(bool on);
    std::vector<NodeSeconds> profile() const { return profile_; }

  private:
    ExecutionPlan& plan(int clips, bool training);
    void provide(ExecutionPlan& plan);
    ExecutionPlan& any_training_plan();
    void check_pixels(const Batch& batch, std::size_t expected) const;  // expected: bytes
    void upload(ExecutionPlan& plan, const Batch& batch);
    StepContext context(const NodePlan& node, const Batch& batch) const;
    void forward(ExecutionPlan& plan, const Batch& batch, bool check);
    // Forward with the loss, then backward, stretch by stretch.
    void run_step(ExecutionPlan& plan, const Batch& batch, const LossSettings& loss,
                  const Model::GradientReady& ready);
    void empty_forward(ExecutionPlan& plan);
    void backward_node(NodePlan& node, std::size_t i, const Batch& batch);
    void find_not_finite(ExecutionPlan& plan);
    bool may_record(const Batch& batch) const;
    // Where backward stops to announce, as nodes that end a stretch, from the last to the first.
    std::vector<std::size_t> stretch_ends(bool by_cuts) const;
    // The gradients of node i are computed, or not: zeroes what nobody wrote.
    double seconds_since(double start);
    void zero_unwritten(std::size_t i, bool computed);
    void announce(std::size_t i, const Model::GradientReady& ready);
    bool finite(const Tensor& tensor);

    const ModelSpec& spec_;
    Backend& backend_;
    const ArenaLayout& layout_;
    ModelMemory memory_;
    Reducer* reducer_;
    std::vector<GradientRange> announced_;  // by each node: its parameters and the padding behind; else empty
    RecordOptions recording_;
    std::size_t cuts_version_ = 0;
    std::vector<Parameters> training_parameters_, inference_parameters_;  // one for each node
    std::vector<std::unique_ptr<ExecutionPlan>> plans_;                   // the last used first
    std::shared_ptr<Storage> tensors_, workspace_;                        // shared by all plans
    LossSum loss_;                                                        // of the last step
    bool loss_queued_ = false;                                            // it is on the device yet
    std::string not_finite_;
    bool scan_gradients_ = false;
    StepSeconds seconds_;
    bool profiling_ = false;
    std::vector<NodeSeconds> profile_;
};

}  // namespace divs::nn
