// Which path each rank's gradients take, from what the ranks say of themselves.
#include "divs/comm/paths.hpp"
#include "support/catch.hpp"

using namespace divs::comm;
using Catch::Matchers::ContainsSubstring;

namespace {

constexpr int version = 22809;

Place gpu(const char* host, const char* bus, int nccl = version) {
    return {host, "H200", bus, nccl, nccl ? "" : "libnccl.so.2: no such file"};
}
Place cpu(const char* host) {
    return {host, "", "", 0, ""};
}
using Ranks = std::vector<int>;

}  // namespace

TEST_CASE("a GPU for each rank: all by NCCL, none by MPI") {
    const std::vector<Place> places{gpu("a", "1"), gpu("a", "2"), gpu("b", "1"), gpu("b", "2")};
    const PathPlan plan = plan_paths(places);
    CHECK(plan.nccl_ranks == Ranks{0, 1, 2, 3});
    CHECK(plan.mpi_ranks.empty());
    CHECK(plan.describe() == "ranks 0-3 by NCCL 2.28.9");
}

TEST_CASE("no GPU at all: MPI from host memory") {
    const std::vector<Place> places{cpu("a"), cpu("a"), cpu("b")};
    const PathPlan plan = plan_paths(places);
    CHECK(plan.nccl_ranks.empty());
    CHECK(plan.mpi_ranks == Ranks{0, 1, 2});
    CHECK_FALSE(plan.has_devices());
}

TEST_CASE("ranks that share a GPU are staged, and the line names it") {
    const std::vector<Place> places{gpu("a", "1B"), gpu("a", "1B")};
    const PathPlan plan = plan_paths(places);
    CHECK(plan.nccl_ranks.empty());
    CHECK(plan.mpi_ranks == Ranks{0, 1});
    CHECK(plan.describe() == "ranks 0, 1 through pinned memory and MPI (sharing GPU 1B of a)");
}

TEST_CASE("the same bus id on two hosts is not the same GPU") {
    const std::vector<Place> places{gpu("a", "1B"), gpu("b", "1B")};
    CHECK(plan_paths(places).nccl_ranks == Ranks{0, 1});
}

TEST_CASE("some share, some do not, some have no GPU: the first NCCL rank joins the others over MPI") {
    const std::vector<Place> places{gpu("a", "1"), gpu("a", "1"), gpu("a", "2"), gpu("b", "1"), cpu("b")};
    const PathPlan plan = plan_paths(places);
    CHECK(plan.nccl_ranks == Ranks{2, 3});
    CHECK(plan.mpi_ranks == Ranks{0, 1, 2, 4});
    CHECK(plan.paths == std::vector{Path::staged, Path::staged, Path::nccl, Path::nccl, Path::host});
    CHECK(plan.describe() ==
          "ranks 0, 1 through pinned memory and MPI (sharing GPU 1 of a); ranks 2, 3 by NCCL 2.28.9; rank 4 "
          "by MPI "
          "from host memory; rank 2 takes the NCCL ranks' sum to the others");
    CHECK((plan.uses_mpi(2) && plan.uses_nccl(2)));
    CHECK((plan.uses_nccl(3) && !plan.uses_mpi(3)));
    CHECK((plan.uses_mpi(4) && !plan.uses_nccl(4)));
}

TEST_CASE("one GPU among CPUs is staged: NCCL has nobody to talk to") {
    const std::vector<Place> places{cpu("a"), gpu("a", "1"), cpu("a")};
    const PathPlan plan = plan_paths(places);
    CHECK(plan.nccl_ranks.empty());
    CHECK(plan.mpi_ranks == Ranks{0, 1, 2});
    CHECK(plan.paths[1] == Path::staged);
    CHECK_THAT(plan.describe(),
               ContainsSubstring("rank 1 through pinned memory and MPI (no other rank for NCCL)"));
}

TEST_CASE("a rank without NCCL, or with another version, is staged and says why") {
    const std::vector<Place> places{gpu("a", "1"), gpu("b", "1", 0), gpu("c", "1"), gpu("d", "1", 22005)};
    const PathPlan plan = plan_paths(places);
    CHECK(plan.nccl_ranks == Ranks{0, 2});
    CHECK(plan.mpi_ranks == Ranks{0, 1, 3});
    CHECK_THAT(plan.describe(),
               ContainsSubstring("rank 1 through pinned memory and MPI (no NCCL: libnccl.so.2"));
    CHECK_THAT(plan.describe(),
               ContainsSubstring("rank 3 through pinned memory and MPI (NCCL 2.20.5, rank 0 has "
                                 "2.28.9)"));
}

TEST_CASE("where NCCL does not start, its ranks are staged for that reason") {
    const std::vector<Place> places{gpu("a", "1"), gpu("a", "2"), cpu("a")};
    const PathPlan plan = without_nccl(plan_paths(places), "NCCL did not start: rank 1: no");
    CHECK(plan.nccl_ranks.empty());
    CHECK(plan.mpi_ranks == Ranks{0, 1, 2});
    CHECK(plan.describe() ==
          "ranks 0, 1 through pinned memory and MPI (NCCL did not start: rank 1: no); rank 2 by "
          "MPI from host memory");
}
