// A model planned for one number of clips: its operations, its tensors, and where they share memory.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "divs/nn/model.hpp"
#include "step_chain.hpp"

namespace divs::nn {

// A value read by several operations gets its gradient in parts: the first writer writes it, each later one
// writes a part that is added.
struct GradientPart {
    Tensor part;
    Tensor* target = nullptr;
};

// One node of a plan. Tensors are described from the start; they get memory by ExecutionPlan::bind.
struct NodePlan {
    std::unique_ptr<Operation> operation;  // null: folded into its reader
    Tensor output, gradient;               // gradient of the output; without desc where none is needed
    std::vector<const Tensor*> inputs;
    std::vector<Tensor*> input_gradients;  // null where not needed
    std::vector<GradientPart> parts;
    bool backward = false;  // something here or before it learns
    int rows_per_clip = 1;  // of its input: frames, or 1 behind the mean over frames
    int last_use = 0;       // the moment after which the output's memory belongs to others
};

// Sums in the middle of a stretch of a recorded step.
class CutReducer final : public Reducer {
  public:
    CutReducer(Reducer* reducer, StepChain& chain) : reducer_(reducer), chain_(chain) {}
    void sum(std::span<double> values) override {
        chain_.cut([this, values] { reducer_->sum(values); });
    }
    bool on_device() const noexcept override { return reducer_->on_device(); }

  private:
    Reducer* reducer_;
    StepChain& chain_;
};

class ExecutionPlan {
  public:
    // `learns`: for each node, whether it has a parameter that is not frozen.
    ExecutionPlan(const ModelSpec& spec, Backend& backend, int clips, bool training,
                  const std::vector<bool>& learns, Reducer* reducer);
    ExecutionPlan(const ExecutionPlan&) = delete;

    int clips() const noexcept { return clips_; }
    bool training() const noexcept { return training_; }
    std::size_t tensor_bytes() const noexcept { return tensor_bytes_; }
    std::size_t workspace_bytes() const noexcept { return workspace_bytes_; }

    // Puts the tensors into this memory, of at least tensor_bytes(); null takes them out.
    void bind(const std::shared_ptr<Storage>& memory);

    StepChain& chain() noexcept { return chain_; }
    Tensor& input() noexcept { return input_; }
    std::vector<NodePlan>& nodes() noexcept { return nodes_; }
    bool alive_at_loss(const NodePlan& node) const noexcept {
        return node.last_use >= static_cast<int>(nodes_.size());
    }

  private:
    void fold_shifts(const ModelSpec& spec, const Backend& backend);
    void plan_forward(const ModelSpec& spec, Backend& backend, const std::vector<bool>& learns,
                      Reducer* reducer);
    void plan_gradients();
    void plan_memory(const Backend& backend);
    int last_use(int value) const;

    int clips_;
    bool training_;
    Tensor input_;
    std::vector<std::vector<int>> inputs_;              // of each node, seen through what is folded
    std::vector<std::optional<TemporalShift>> shifts_;  // folded into each node
    std::vector<bool> folded_;
    std::vector<NodePlan> nodes_;
    StepChain chain_;
    CutReducer reducer_;
    std::size_t tensor_bytes_ = 0, workspace_bytes_ = 0;
    const Storage* bound_ = nullptr;
    std::vector<Tensor*> placed_;  // every tensor that has memory
};

}  // namespace divs::nn
