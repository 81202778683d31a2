// Buckets on a device: by NCCL, through pinned memory and MPI, or both (see paths.hpp).
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "divs/comm/bucket_sum.hpp"
#include "nccl_communicator.hpp"
#include "task.hpp"

namespace divs::comm {

class Channel;

class DeviceSum : public BucketSum {
  public:
    // `nccl`: started; null where this rank takes no part in it.
    DeviceSum(World& world, std::span<float> gradients, std::shared_ptr<DeviceStream> stream, PathPlan plan,
              std::shared_ptr<NcclCommunicator> nccl);
    ~DeviceSum() override;

    std::size_t size() const noexcept override { return gradients_.size(); }
    void post(Range bucket) override;
    bool sums_values() const noexcept override { return nccl_ && plan_.mpi_ranks.empty(); }
    void sum(std::span<double> values) override;
    void join(std::span<double> values) override;
    Finished finish() override;

  private:
    // The marks of a bucket, in the order in which the device comes past them.
    struct Bucket {
        std::string name;
        Range range;
        std::unique_ptr<DeviceMark> ready;   // computed
        std::unique_ptr<DeviceMark> start;   // communication begins
        std::unique_ptr<DeviceMark> copied;  // in pinned memory
        std::unique_ptr<DeviceMark> done;    // the sum is on the device
    };

    // Values that are summed between the buckets.
    struct Values {
        std::unique_ptr<DeviceMark> ready, done;
    };
    // What must be kept of a step until it is finished. Marks are kept for the step after the next.
    struct Step {
        std::vector<std::unique_ptr<Bucket>> buckets;
        std::vector<Work> works;  // a bucket each, of those in use
        std::vector<Values> values;
        std::size_t sums = 0;                  // of values, in use
        std::unique_ptr<DeviceMark> computed;  // backward is over
        std::unique_ptr<DeviceMark> summed;    // the values of join() are
        std::unique_ptr<DeviceMark> released;  // all sums are there
        Work watch;                            // ends when the device is through
    };

    Step& posting() noexcept { return steps_[joined_ % steps_.size()]; }
    Bucket& next_bucket(Range range);
    Values& next_values();
    std::span<float> device(const Bucket& bucket) const;
    std::span<float> pinned(const Bucket& bucket) const;

    // Operations, run on the thread that communicates.
    Task sum(Channel& channel, Bucket& bucket);
    Task sum(Channel& channel, DeviceMark& ready, std::span<double> values, DeviceMark& done);
    Task sum_over_mpi(Channel& channel, Bucket& bucket);
    Task accept(Channel& channel);
    bool through(const DeviceMark& released);
    Task named(std::string what, Task work);  // its errors say what it was

    void begin_copy(Bucket& bucket);
    template <class Calls>
    void guard(const std::string& what, Calls calls);  // an error of the device ends the communication
    [[noreturn]] void fail(const std::string& what, const std::exception& error, int code);

    World& world_;
    std::span<float> gradients_;
    std::shared_ptr<DeviceStream> stream_;
    PathPlan plan_;
    std::shared_ptr<NcclCommunicator> nccl_;
    std::unique_ptr<PinnedMemory> pinned_;  // as long as the arena, where MPI takes part
    int exceptions_;

    std::array<Step, 2> steps_;  // in turns
    std::size_t joined_ = 0, finished_ = 0;
    std::atomic<bool> broken_{false};
};

}  // namespace divs::comm
