// Whether all ranks run the same program.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "divs/comm/world.hpp"

namespace divs::comm {

// What stands for a program here, name -> version: "divs" (version and git revision), "MPI", and what the
// caller adds.
using Versions = std::map<std::string, std::string>;
Versions versions_here(Versions more = {});

// A version in which ranks differ from rank 0: "divs: n1 (rank 0) has 0.1.0 revision a, n2 (rank 1) has ...".
struct Difference {
    std::string name, text;
};
// Collective. The same on all ranks.
std::vector<Difference> compare_versions(World& world, const Versions& mine);

// CommunicationError on all ranks, naming hosts and versions, where programs of different version or revision
// were started together. Other differences are logged by rank 0 as warnings.
void require_same_program(World& world, const Versions& mine);

}  // namespace divs::comm
