// By which path each rank's gradients reach the others. A pure function of what the ranks tell each other.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace divs::comm {

// What a rank tells the others of itself.
struct Place {
    std::string host;
    std::string device;      // its GPU's name; empty: its gradients lie in host memory
    std::string pci_bus_id;  // of the GPU
    int nccl = 0;            // version of its NCCL library, 22809 for 2.28.9; 0: it cannot use any
    std::string why_not;     // it cannot
};

enum class Path {
    host,    // MPI, from host memory
    staged,  // GPU, but through pinned host memory and MPI
    nccl,    // GPU to GPU
};

// Ranks of the path nccl sum among themselves. Where there are others, the NCCL ranks' sum goes to the first
// of them, who adds it to the others' over MPI like a staged rank, and sends the whole sum back by NCCL.
struct PathPlan {
    std::vector<Path> paths;           // by rank
    std::vector<std::string> reasons;  // by rank: why a GPU's rank is staged
    std::vector<int> nccl_ranks;       // ascending; empty or two at least
    std::vector<int> mpi_ranks;        // ascending; empty where all are NCCL ranks
    int nccl_version = 0;              // of the NCCL ranks

    bool uses_nccl(int rank) const noexcept;
    bool uses_mpi(int rank) const noexcept;
    bool has_devices() const noexcept;

    // One line for people: "ranks 0-3 by NCCL 2.28.9; rank 4 through pinned memory and MPI (...)".
    std::string describe() const;
};

// NCCL is for ranks that have a GPU to themselves, and is worth it from two on: ranks that share a GPU (same
// host, same PCI bus id), lack NCCL, or have another version of it than the first who has it, are staged.
PathPlan plan_paths(std::span<const Place> places);

std::string nccl_version_text(int version);  // "2.28.9" of 22809

// The plan without NCCL, every GPU staged, for a reason that all share.
PathPlan without_nccl(PathPlan plan, const std::string& reason);

}  // namespace divs::comm
