// The ways in which a bucket of gradients is summed over the ranks. Which one a rank takes is settled once,
// when a run starts, from what the ranks tell each other (paths.hpp).
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "divs/comm/paths.hpp"
#include "divs/comm/shared_memory.hpp"
#include "divs/comm/world.hpp"
#include "divs/core/device_stream.hpp"

namespace divs::comm {

struct Range {
    std::size_t begin = 0, end = 0;  // elements

    std::size_t size() const noexcept { return end - begin; }
    friend bool operator==(const Range&, const Range&) = default;
};

// One step is: post, of every bucket, in an order that is the same on all ranks; join; finish. The next
// step's buckets may be posted before a step is finished, but not joined.
class BucketSum {
  public:
    virtual ~BucketSum() = default;

    virtual std::size_t size() const noexcept = 0;  // elements of the arena
    // The bucket is final: in host memory now, or on a device once it has done what was queued so far.
    virtual void post(Range bucket) = 0;
    // Whether values on a device are summed there, by sum().
    virtual bool sums_values() const noexcept { return false; }
    // Sums these values over the ranks, in their turn among the buckets: once the device has computed them,
    // and before what it computes next. Waits until that is queued, not until it is done.
    virtual void sum(std::span<double> /*values*/) {}

    // What reads the gradients from here on reads the sums: host memory is waited for, a device's queue waits
    // by itself. `values`: on a device that sums_values(), added up over the ranks behind the last bucket.
    virtual void join(std::span<double> values = {}) = 0;

    struct Timing {
        std::size_t bytes = 0;
        double seconds = 0;  // while it was being summed, exposed or not
    };
    struct Finished {
        double exposed = 0;           // seconds that nothing was computed because of it, those below left out
        double values = 0;            // seconds that nothing was computed because of sum()
        std::vector<Timing> timings;  // a bucket each, in order
    };
    // Waits until the communication of the first step that was joined and not finished has ended well;
    // rethrows what it failed of. Nothing of the step may be kept (a checkpoint) before this returned.
    virtual Finished finish() = 0;
};

// Sums in host memory, over MPI. `ranks`: who takes part (ascending, this rank among them); empty: all.
std::unique_ptr<BucketSum> make_host_sum(World& world, std::span<float> gradients,
                                         std::vector<int> mpi_ranks = {});

// Sums in memory that all ranks share: the gradients are this rank's part of it.
std::unique_ptr<BucketSum> make_shared_sum(World& world, std::shared_ptr<const SharedMemory> memory);

struct SumOptions {
    bool nccl = true;                                      // false: no NCCL, even where it could be used
    double nccl_start_seconds = 120;                       // then NCCL is given up and its ranks are staged
    std::shared_ptr<const SharedMemory> shared = nullptr;  // where the gradients of all ranks lie in it
};

struct ChosenSum {
    std::unique_ptr<BucketSum> sum;
    PathPlan plan;
};

// The ranks tell each other what they have and start what they agree on; rank 0 logs one line that says which
// path each rank takes, where a device takes part. Collective. `stream`: of the device that `gradients` lie
// on; null: host memory.
ChosenSum choose_sum(World& world, std::span<float> gradients, std::shared_ptr<DeviceStream> stream,
                     const SumOptions& options = {});

}  // namespace divs::comm
