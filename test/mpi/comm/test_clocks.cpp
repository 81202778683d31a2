// Clocks of ranks that share one host: the same, to within the message that asks.
#include <cmath>
#include <string>

#include "divs/comm/clocks.hpp"
#include "divs/comm/program.hpp"
#include "divs/core/error.hpp"
#include "mpi/world.hpp"
#include "support/catch.hpp"

using divs::test::world;

TEST_CASE("ranks of one host have one clock") {
    const auto clocks = divs::comm::clock_offsets(world(), 5);
    if (world().rank() != 0) {
        CHECK(clocks.empty());
        return;
    }
    REQUIRE(clocks.size() == static_cast<std::size_t>(world().size()));
    CHECK(clocks[0].round_trip == 0);
    for (std::size_t rank = 1; rank < clocks.size(); ++rank) {
        CHECK(clocks[rank].round_trip > 0);
        CHECK(std::abs(clocks[rank].steady) <= clocks[rank].round_trip / 2);
        CHECK(std::abs(clocks[rank].wall) <= clocks[rank].round_trip / 2 + 1e-3);
    }
}

TEST_CASE("versions that differ are told with host and rank, the same on all ranks") {
    auto mine = divs::comm::versions_here({{"example", "1"}});
    CHECK(divs::comm::compare_versions(world(), mine).empty());
    divs::comm::require_same_program(world(), mine);
    mine["example"] = std::to_string(world().rank() % 2);
    const auto differences = divs::comm::compare_versions(world(), mine);
    REQUIRE(differences.size() == (world().size() > 1 ? 1U : 0U));
    divs::comm::require_same_program(world(), mine);  // libraries may differ
    if (world().size() == 1) return;
    CHECK(differences[0].name == "example");
    CHECK(differences[0].text.find("(rank 0) has 0") != std::string::npos);
    CHECK(differences[0].text.find(world().host() + " (rank 1) has 1") != std::string::npos);
    mine["divs"] += std::to_string(world().rank());
    CHECK_THROWS_AS(divs::comm::require_same_program(world(), mine), divs::CommunicationError);
}
