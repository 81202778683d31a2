// Keeps the replicas in step: gradients and counts of a step are summed over the ranks, exactly for uneven
// batches, and one optimiser pass applies them everywhere.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "divs/comm/bucket_tuner.hpp"
#include "divs/comm/buckets.hpp"
#include "divs/comm/world.hpp"
#include "divs/core/clock.hpp"
#include "divs/core/device_stream.hpp"
#include "divs/nn/model.hpp"
#include "divs/train/checkpoint.hpp"
#include "divs/train/compute_clock.hpp"
#include "divs/train/settings.hpp"

namespace divs::train {

// Statistics of synchronised norms, summed over the ranks in their place among the gradient buckets: by MPI
// from the host's memory, or by NCCL where all gradients go by it.
class NormReducer : public nn::Reducer {
  public:
    explicit NormReducer(comm::World& world) : world_(world) {}
    void sum(std::span<double> values) override;
    bool on_device() const noexcept override { return buckets_ && buckets_->sums_values(); }

    void go_with(comm::BucketReducer* buckets) noexcept { buckets_ = buckets; }
    double waited_seconds() noexcept { return std::exchange(waited_, 0); }  // since the last call

  private:
    comm::World& world_;
    comm::BucketReducer* buckets_ = nullptr;
    double waited_ = 0;
};

// The sums of one step over all ranks.
struct StepTotals {
    double loss = 0, weight = 0, samples = 0, correct = 0;
    bool stop = false;      // some rank was asked to stop
    bool save = false;      // rank 0 wants a checkpoint
    bool diverged = false;  // some rank's loss is not finite: nothing was updated
};

struct StepTimes {
    double compute = 0;  // this rank's own forward and backward
    double update = 0;
    double exposed = 0;  // waited for communication
    double busy = 0;     // communication, exposed or not
};

// What is known of a step once it is over.
struct StepOutcome {
    StepTotals totals;
    double gradient_norm = 0;  // of the mean gradient; where it is not finite nothing was updated
    int bad_row = -1;          // of this rank's batch: the first whose loss is not finite
    StepTimes times;
};

// A step is: compute, reduce, update, settle. Where devices sum among themselves all but the last only queue
// work, and a step is best settled when the next one is queued: then the device has come past it, and nobody
// waits. Else the host waits in reduce(): for the loss, and for the sums over the ranks.
class Synchroniser {
  public:
    Synchroniser(nn::Model& model, comm::World& world, NormReducer& norms, const Settings& settings);

    // What ranks tell each other beside the gradients.
    struct Wishes {
        bool stop = false, save = false;
    };
    // Forward and backward; buckets of gradients go as they fill. `slowdown`: see Throttle.
    void compute(const nn::Batch& batch, const nn::LossSettings& loss, double slowdown);
    // The sums over the ranks; nothing is updated yet.
    void reduce(Wishes wishes);
    // The optimiser pass, if the loss is finite everywhere; update number `step` from 0.
    void update(std::int64_t step, float learning_rate);
    // Whether this step should be settled only between compute() and reduce() of the next one. All ranks say
    // the same.
    bool settles_late() const noexcept { return late_ && !(reducer_ && tunes_ && tuner_.measures()); }
    // The end of the step that was updated and not settled; waits for it. What it changed may be kept or
    // shown from here on.
    StepOutcome settle();

    OptimiserState state();  // momentum, or both moments, by name

    // norm = local: running statistics become the mean over the ranks, by samples since the last merge.
    // Collective.
    void merge_buffers();
    // Throws CommunicationError on all ranks where parameters differ from rank 0's; where the job mixes
    // backends, whose arithmetic differs, rank 0's go to all instead, and how far they had drifted is logged.
    // Collective.
    void require_equal_parameters();
    // Rank 0's parameters, buffers and optimiser state to all. Collective.
    void broadcast_state();

  private:
    // What is known of a step before it is settled.
    struct Step {
        explicit Step(std::shared_ptr<DeviceStream> stream) : clock(std::move(stream)) {}
        ComputeClock clock;
        StepTotals totals;
        int bad_row = -1;
        StepTimes times;
        double norm_wait = 0;  // of the host, inside compute
    };

    std::shared_ptr<comm::SharedMemory> share_gradients();
    void choose_path();
    void slow_down(Step& step, double slowdown);
    Step& last() noexcept { return steps_[(queued_ - 1) % steps_.size()]; }
    void queue_totals(Wishes wishes);  // all by themselves on the devices
    void sum_totals(Wishes wishes);
    void record_steps();
    void tune_buckets(double compute_seconds);
    void level_drift();
    void broadcast_learned();  // all but the buffers, in which ranks may differ until they are merged
    void broadcast(std::span<float> array, std::string_view what);

    nn::Model& model_;
    comm::World& world_;
    NormReducer& norms_;
    const Settings& settings_;
    std::shared_ptr<DeviceStream> stream_;          // null: gradients lie in host memory
    std::unique_ptr<comm::BucketReducer> reducer_;  // null in a job of one rank
    bool mixed_ = false;                            // some ranks compute on devices, some do not
    std::vector<nn::UpdateRange> ranges_;
    std::vector<std::pair<std::string, std::shared_ptr<nn::Storage>>> state_;
    double samples_since_merge_ = 0;
    std::array<Step, 2> steps_;  // in turns
    std::size_t queued_ = 0, settled_ = 0;
    int clips_ = 0;  // of the last batch
    bool late_ = false, tunes_ = false;
    comm::BucketTuner tuner_;
};

}  // namespace divs::train
