#include <cmath>

#include "divs/core/random.hpp"
#include "divs/sched/throughput.hpp"
#include "support/catch.hpp"

using namespace divs::sched;
using divs::Random;
using divs::Stream;

namespace {

// A rank with these true costs, a little noise, and now and then a round ten times too slow.
Round noisy(const Random& random, std::uint64_t i, double work, double decode, double compute,
            double overhead) {
    const double noise = 1 + 0.03 * random.normal(i), outlier = random.below(10'000 + i, 12) ? 1 : 10;
    return {work, decode * work * noise * outlier, (overhead + compute * work) * noise * outlier, 0};
}

}  // namespace

TEST_CASE("a meter finds both stages through noise and outliers") {
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
        const Random random(seed, Stream::test, 10);
        ThroughputMeter meter(32);
        for (std::uint64_t i = 0; i < 100; ++i) meter.add(noisy(random, i, 12, 0.004, 0.010, 0));
        const Throughput t = meter.estimate();
        REQUIRE(t.decode == Approx(0.004).epsilon(0.04));
        REQUIRE(t.compute == Approx(0.010).epsilon(0.04));
        REQUIRE(t.seconds() == Approx(0.010).epsilon(0.04));  // the slower stage sets the pace
        REQUIRE((t.relative_error > 0.0005 && t.relative_error < 0.03));
        REQUIRE(t.rounds > 0);
    }
}

TEST_CASE("stages that share a core add up") {
    ThroughputMeter meter(8, 0);
    for (int i = 0; i < 8; ++i) meter.add({10, 0.2, 0.5});
    CHECK(meter.estimate().seconds() == Approx(0.07));
    CHECK(meter.round_seconds() == Approx(0.7));
}

TEST_CASE("the overhead comes out where rounds differ in size, and stays when they no longer do") {
    const Random random(1, Stream::test, 11);
    ThroughputMeter meter(24);
    for (std::uint64_t i = 0; i < 24; ++i) {
        const double work = 4 + static_cast<double>(random.below(500 + i, 12));
        meter.add({work, 0, (0.05 + 0.01 * work) * (1 + 0.01 * random.normal(i))});
    }
    CHECK(meter.estimate().overhead == Approx(0.05).epsilon(0.1));
    CHECK(meter.estimate().compute == Approx(0.01).epsilon(0.1));
    for (std::uint64_t i = 0; i < 40; ++i) meter.add({12, 0, 0.17});
    CHECK(meter.estimate().overhead == Approx(0.05).epsilon(0.1));
    CHECK(meter.estimate().compute == Approx(0.01).epsilon(0.1));
}

TEST_CASE("a lasting change of pace shows within three rounds, a single slow round does not") {
    for (double change : {4.0, 0.25, 1.5}) {
        ThroughputMeter meter(16);
        const Random random(2, Stream::test, 12);
        for (std::uint64_t i = 0; i < 16; ++i) meter.add({8, 0, 0.08 * (1 + 0.02 * random.normal(i))});
        meter.add({8, 0, 0.08 * change});
        CHECK(meter.estimate().seconds() == Approx(0.01).epsilon(0.03));
        for (int i = 0; i < 2; ++i) meter.add({8, 0, 0.08 * change});
        CHECK(meter.estimate().seconds() == Approx(0.01 * change).epsilon(0.03));
    }
}

TEST_CASE("the standard error of the estimate is that of its spread over many trials") {
    double squares = 0, claimed = 0;
    const int trials = 400;
    for (std::uint64_t seed = 0; seed < trials; ++seed) {
        const Random random(seed, Stream::test, 13);
        ThroughputMeter meter(16);
        for (std::uint64_t i = 0; i < 16; ++i) meter.add({1, 0, 1 + 0.05 * random.normal(i)});
        const Throughput t = meter.estimate();
        squares += std::pow(t.seconds() - 1, 2);
        claimed += t.relative_error;
    }
    CHECK(claimed / trials == Approx(std::sqrt(squares / trials)).epsilon(0.2));
}

TEST_CASE("a meter without rounds, with few, and with empty ones") {
    ThroughputMeter meter;
    CHECK(meter.estimate().rounds == 0);
    CHECK(meter.round_seconds() == 0);
    CHECK(meter.waited_share() == 0);
    meter.add({0, 0, 0, 1});  // no sample: it only waited
    CHECK(meter.estimate().rounds == 0);
    CHECK(meter.waited_share() == 1);
    meter.add({5, 0.5, 1, 1});
    CHECK(meter.estimate().seconds() == Approx(0.2));
    CHECK(meter.estimate().relative_error >= 0.5);  // nothing is known about the spread yet
    CHECK(meter.waited_share() == Approx(2.0 / 3));
    meter.mark();
    CHECK(meter.round_seconds() == 0);
    CHECK(meter.waited_share() == 0);
    CHECK(meter.estimate().seconds() == Approx(0.2));  // the mark does not forget the speed
}
