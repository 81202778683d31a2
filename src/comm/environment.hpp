// MPI from initialisation to finalisation, and where this rank stands among the others.
#pragma once

#include <mpi.h>

#include <string>
#include <vector>

#include "divs/core/ledger.hpp"

namespace divs::comm {

// Ranks, hosts and clusters. Pure after construction.
struct Topology {
    int rank = 0, size = 1;
    int local_rank = 0, local_size = 1;  // among the ranks of this host
    std::string host;
    std::vector<int> clusters;  // cluster number of every rank

    // A message to oneself stays on the edge node; one inside a cluster crosses the cluster's network; any
    // other goes by way of the centre.
    Tier tier(int from, int to) const noexcept;
};

// Clusters numbered 0, 1, ... in order of their first rank. `leaders[r]`: the lowest rank on r's host.
std::vector<int> assign_clusters(const std::vector<int>& leaders, int cluster_size);

// The thread that makes it is the one that may call MPI, and the one that must destroy it.
class Environment {
  public:
    // `threads`: other threads run beside it.
    Environment(int cluster_size, bool threads);
    ~Environment();
    Environment(const Environment&) = delete;

    MPI_Comm communicator() const noexcept { return communicator_; }
    const Topology& topology() const noexcept { return topology_; }
    // The process will end without MPI_Finalize, which tells the launcher to end the other ranks.
    void abandon() noexcept { abandoned_ = true; }

  private:
    void find_topology(int cluster_size);

    MPI_Comm communicator_ = MPI_COMM_NULL;
    Topology topology_;
    bool abandoned_ = false;
};

}  // namespace divs::comm
