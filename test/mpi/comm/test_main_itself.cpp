// Hidden cases that fail on one rank on purpose: expect_end.sh checks that the job fails and nobody hangs.
#include <stdexcept>

#include "mpi/world.hpp"
#include "support/catch.hpp"

using divs::test::world;

TEST_CASE("a requirement fails on rank 1 while the others wait for it", "[.fails]") {
    if (world().rank() == 1) REQUIRE(world().size() == 0);
    world().barrier("after the requirement").wait();
}

TEST_CASE("a check fails on rank 1, which goes on", "[.fails]") {
    CHECK(world().rank() != 1);
    world().barrier().wait();
}

TEST_CASE("rank 1 throws while the others wait for it", "[.fails]") {
    if (world().rank() == 1) throw std::runtime_error("on purpose");
    world().barrier().wait();
}
