
#include <algorithm>
#include <cmath>
#include <vector>

#include "divs/core/random.hpp"
#include "support/catch.hpp"

using divs::Random;
using divs::Stream;

TEST_CASE("philox gives the published vectors") {  // kat_vectors of Random123
    using A4 = std::array<std::uint32_t, 4>;
    CHECK(divs::philox4x32({0, 0, 0, 0}, {0, 0}) == A4{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
    const std::uint32_t f = 0xffffffff;
    CHECK(divs::philox4x32({f, f, f, f}, {f, f}) == A4{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
}

TEST_CASE("numbers are functions of their key, and streams differ") {
    const Random a(7, Stream::augment, 1, 2), b(7, Stream::augment, 1, 2), c(7, Stream::augment, 2, 1), d(7, Stream::dropout, 1, 2);
    CHECK(a.bits(5) == b.bits(5));
    CHECK(a.bits(5) != c.bits(5));
    CHECK(a.bits(5) != d.bits(5));
}

TEST_CASE("uniform and normal have their moments") {
    const Random r(1, Stream::test);
    const int n = 200000;
    double sum = 0, normal_sum = 0, normal_squares = 0;
    for (int i = 0; i < n; ++i) {
        const double u = r.uniform(static_cast<std::uint64_t>(i));
        REQUIRE((u >= 0 && u < 1));
        sum += u;
        const double z = r.normal(static_cast<std::uint64_t>(i));
        normal_sum += z;
        normal_squares += z * z;
    }
    CHECK(sum / n == Approx(0.5).margin(0.004));
    CHECK(normal_sum / n == Approx(0).margin(0.01));
    CHECK(normal_squares / n == Approx(1).margin(0.02));
}

TEST_CASE("a permutation holds every number once") {
    auto order = Random(3, Stream::shuffle).permutation(1000);
    CHECK_FALSE(std::is_sorted(order.begin(), order.end()));
    std::sort(order.begin(), order.end());
    for (std::uint32_t i = 0; i < 1000; ++i) REQUIRE(order[i] == i);
}
