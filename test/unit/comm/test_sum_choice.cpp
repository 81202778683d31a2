// Which algorithm sums a long vector, against the number of messages and bytes that each takes one after the
// other.
#include "reduce.hpp"
#include "support/catch.hpp"

using divs::comm::prefers_halving;

TEST_CASE("few ranks keep to the ring, many go by halving") {
    for (const std::size_t bytes : {std::size_t{20} << 10, std::size_t{4} << 20, std::size_t{100} << 20}) {
        for (int ranks = 2; ranks <= 8; ++ranks) CHECK_FALSE(prefers_halving(ranks, bytes));
        for (const int ranks : {16, 64, 256, 1024}) CHECK(prefers_halving(ranks, bytes));
    }
}

TEST_CASE(
    "ranks beyond a power of two send all they have twice more: worth it where a ring has many messages") {
    const std::size_t bytes = std::size_t{4} << 20;
    CHECK_FALSE(prefers_halving(12, bytes));
    CHECK_FALSE(prefers_halving(24, bytes));
    CHECK(prefers_halving(384, bytes));
    CHECK(prefers_halving(1000, bytes));
    CHECK(prefers_halving(24, 64 << 10));
}
