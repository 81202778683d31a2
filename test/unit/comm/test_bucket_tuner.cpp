#include <vector>

#include "divs/comm/bucket_tuner.hpp"
#include "divs/core/random.hpp"
#include "support/catch.hpp"

using namespace divs::comm;

TEST_CASE("the cost of a sum is found from noisy samples") {
    const divs::Random random(4, divs::Stream::test);
    std::vector<BucketReducer::Timing> samples;
    const SumCost truth{200e-6, 1e-9};
    for (std::uint64_t i = 0; i < 200; ++i) {
        const std::size_t bytes = 1000 + random.below(2 * i, 4000000);
        samples.push_back(
            {bytes, truth.seconds(static_cast<double>(bytes)) * random.uniform(2 * i + 1, 0.97, 1.03)});
    }
    const SumCost fitted = fit_sum_cost(samples);
    CHECK(fitted.start == Approx(truth.start).epsilon(0.2));
    CHECK(fitted.per_byte == Approx(truth.per_byte).epsilon(0.02));
}

TEST_CASE("degenerate samples give a cost that is never negative") {
    CHECK(fit_sum_cost({}).seconds(1e6) == 0);
    const std::vector<BucketReducer::Timing> equal{{1000, 1e-3}, {1000, 3e-3}};
    CHECK(fit_sum_cost(equal).start == 0);
    CHECK(fit_sum_cost(equal).seconds(1000) == Approx(2e-3));
    const std::vector<BucketReducer::Timing> falling{{1000, 3e-3}, {2000, 1e-3}};
    CHECK(fit_sum_cost(falling).per_byte == 0);
    CHECK(fit_sum_cost(falling).start == Approx(2e-3));
    const std::vector<BucketReducer::Timing> negative_start{{1000, 1e-4}, {2000, 3e-3}};
    CHECK(fit_sum_cost(negative_start).start == 0);
    CHECK(fit_sum_cost(negative_start).per_byte > 0);
}

TEST_CASE("exposed time by hand") {
    // 4 buckets of 1000 bytes, final at 1, 2, 3, 4 s.
    CHECK(exposed_seconds({0.5, 0}, 4000, 4, 1000) == Approx(0.5));      // only the last sticks out
    CHECK(exposed_seconds({2, 0}, 4000, 4, 1000) == Approx(1 + 8 - 4));  // the link is the bottleneck
    CHECK(exposed_seconds({0, 1e-3}, 4000, 4, 4000) == Approx(4));       // one bucket: nothing overlaps
    CHECK(exposed_seconds({0, 1e-3}, 2500, 4, 1000) == Approx(0.7));     // final at 1.6, 3.2, 4 s
    CHECK(exposed_seconds({1, 1}, 0, 4, 1000) == 0);
}

TEST_CASE("a proposal is as good as any length within its tolerance") {
    const divs::Random random(9, divs::Stream::test);
    for (std::uint64_t i = 0; i < 200; ++i) {
        const SumCost cost{random.uniform(4 * i, 0, 2e-3), random.uniform(4 * i + 1, 0, 3e-9)};
        const std::size_t total = 100000 + random.below(4 * i + 2, 100000000);
        const double backward = random.uniform(4 * i + 3, 0.001, 0.5);
        const auto proposal = propose_buckets(cost, total, backward);
        REQUIRE(proposal.first_bytes <= proposal.bucket_bytes);
        REQUIRE(proposal.exposed_seconds == exposed_seconds(cost, total, backward, proposal.bucket_bytes));
        for (std::size_t bytes = 64 << 10; bytes <= 2 * total; bytes *= 2)
            REQUIRE(proposal.exposed_seconds <= 1.02 * exposed_seconds(cost, total, backward, bytes) + 21e-6);
    }
}

TEST_CASE("extremes: a free start asks for short buckets, a dear one for a single bucket") {
    CHECK(propose_buckets({0, 1e-8}, 50000000, 0.5).bucket_bytes <= std::size_t{256} << 10);
    CHECK(propose_buckets({10, 0}, 50000000, 0.5).bucket_bytes == 50000000);
}
