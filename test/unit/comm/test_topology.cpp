
#include "environment.hpp"
#include "support/catch.hpp"

using namespace divs::comm;

TEST_CASE("clusters are hosts in order of their first rank, or runs of a given length") {
    CHECK(assign_clusters({0, 0, 2, 2, 0}, 0) == std::vector<int>{0, 0, 1, 1, 0});
    CHECK(assign_clusters({0, 0, 0, 0, 0}, 2) == std::vector<int>{0, 0, 1, 1, 2});
    CHECK(assign_clusters({0}, 0) == std::vector<int>{0});
}

TEST_CASE("a message crosses the tier of its two ends") {
    Topology topology;
    topology.clusters = {0, 0, 1, 1};
    CHECK(topology.tier(2, 2) == divs::Tier::edge);
    CHECK(topology.tier(2, 3) == divs::Tier::cluster);
    CHECK(topology.tier(0, 1) == divs::Tier::cluster);
    CHECK(topology.tier(1, 2) == divs::Tier::centre);
}
