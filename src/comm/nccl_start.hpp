// Starting NCCL on some ranks of a job, so that all agree whether it works.
#pragma once

#include <memory>
#include <string>

#include "divs/comm/bucket_sum.hpp"
#include "nccl_communicator.hpp"

namespace divs::comm {

struct StartedNccl {
    std::shared_ptr<NcclCommunicator> communicator;  // null on ranks that take no part
    std::string failure;  // why it cannot be used, with rank and host; equal on all ranks; empty: it works
};

// Makes the communicator of plan.nccl_ranks (its id goes over MPI) and sums the first elements of the
// gradients once, as a trial: what they held is lost. Collective over all ranks.
StartedNccl start_nccl(World& world, const PathPlan& plan, std::shared_ptr<const NcclLibrary> library,
                       std::shared_ptr<DeviceStream> stream, std::span<float> gradients, double seconds);

}  // namespace divs::comm
