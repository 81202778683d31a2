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
#include "divs/train/settings.hpp"

namespace divs::train {

// Statistics of synchronised norms, summed over the ranks in their place among the gradient buckets.
class NormReducer : public nn::Reducer {
  public:
    explicit NormReducer(comm::World& world) : world_(world) {}
    void sum(std::span<double> values) override;
    double waited_seconds() noexcept { return std::exchange(waited_, 0); }  // since the last call

  private:
    comm::World& world_;
    double waited_ = 0;
};

// The sums of one step over all ranks.
struct StepTotals {
    double loss = 0, weight = 0, samples = 0, correct = 0;
    bool stop = false;         // some rank was asked to stop
    bool save = false;         // rank 0 wants a checkpoint
    bool diverged = false;  // some rank's loss is not finite
};

struct StepTimes {
    double compute = 0;  // this rank's own forward and backward
    double update = 0;
    double exposed = 0;  // waited for communication
    double busy = 0;     // communication, exposed or not
};

class Synchroniser {
  public:
    Synchroniser(nn::Model& model, comm::World& world, NormReducer& norms, const Settings& settings);

    // What ranks tell each other beside the gradients.
    struct Wishes {
        bool stop = false, save = false;
    };
    // Forward, backward and reduction; nothing is updated yet. `slowdown`: see Throttle.
    StepTotals step(const nn::Batch& batch, const nn::LossSettings& loss, Wishes wishes, double slowdown);
    // The optimiser pass of a finite step; update number `step` from 0. Gives the norm of the mean gradient;
    // where that is not finite nothing was changed.
    double update(const StepTotals& totals, std::int64_t step, float learning_rate);
    const StepTimes& times() const noexcept { return times_; }
    int bad_row() const noexcept { return bad_row_; }  // of this rank's last batch: loss not finite; -1: none

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
    std::shared_ptr<comm::SharedMemory> share_gradients();
    void choose_path();
    void measure_compute(Stopwatch& watch, double norm_wait, double slowdown);
    void reduce(std::span<double> counts);
    void record_steps();
    void tune_buckets();
    void level_drift();
    void broadcast_learned();  // all but the buffers, in which ranks may differ until they are merged
    void broadcast(std::span<float> array, std::string_view what);

    nn::Model& model_;
    comm::World& world_;
    NormReducer& norms_;
    const Settings& settings_;
    std::shared_ptr<DeviceStream> stream_;          // null: gradients lie in host memory
    std::unique_ptr<DeviceMark> begin_, end_;       // of a step's compute, on the device
    std::unique_ptr<comm::BucketReducer> reducer_;  // null in a job of one rank
    bool mixed_ = false;                            // some ranks compute on devices, some do not
    std::vector<nn::UpdateRange> ranges_;
    std::vector<std::pair<std::string, std::shared_ptr<nn::Storage>>> state_;
    double samples_since_merge_ = 0;
    StepTimes times_;
    double norm_wait_ = 0;
    int bad_row_ = -1;
    comm::BucketTuner tuner_;
};

}  // namespace divs::train
