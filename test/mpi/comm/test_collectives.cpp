// Every collective against a closed form or a sum over all ranks' data, which any rank can make from the
// seed.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <vector>

#include "divs/core/error.hpp"
#include "divs/core/random.hpp"
#include "mpi/world.hpp"
#include "support/catch.hpp"

using divs::test::world;

namespace {

// Values that rank would hold; integers up to 2^12, so that float sums are exact in any order.
template <class T>
std::vector<T> values_of(int rank, std::size_t size, std::uint64_t seed) {
    const divs::Random random(seed, divs::Stream::test, static_cast<std::uint64_t>(rank));
    std::vector<T> values(size);
    const std::uint64_t key = random.bits(0) | 1;
    for (std::size_t i = 0; i < size; ++i) values[i] = static_cast<T>((i + 1) * key >> 52) - T{2048};
    return values;
}

template <class T>
std::vector<T> expected_sum(std::size_t size, std::uint64_t seed) {
    std::vector<T> total(size, 0);
    for (int r = 0; r < world().size(); ++r) {
        const auto values = values_of<T>(r, size, seed);
        for (std::size_t i = 0; i < size; ++i) total[i] += values[i];
    }
    return total;
}

std::vector<std::byte> random_bytes(std::size_t size, std::uint64_t seed) {
    const std::uint64_t key = divs::Random(seed, divs::Stream::test, 77).bits(0);
    std::vector<std::byte> bytes(size);
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>((i + 1) * (key | 1) >> 40);
    return bytes;
}

}  // namespace

TEMPLATE_TEST_CASE("a sum is the sum, at any length", "", float, double, std::int64_t) {
    // Around the change of algorithm, the pieces of a ring, and lengths that no number of ranks divides.
    const std::size_t size =
        GENERATE(0, 1, 2, 3, 5, 1000, 2048, 2049, 4096, 4097, 65537, 262144, 300007, 1500001);
    auto values = values_of<TestType>(world().rank(), size, size);
    world().sum(std::span(values)).wait();
    CHECK((values == expected_sum<TestType>(size, size)));
}

TEST_CASE("a sum of any floats has the same bits on all ranks and every time") {
    const std::size_t size = GENERATE(7, 3000, 500001);
    const divs::Random random(3, divs::Stream::test, static_cast<std::uint64_t>(world().rank()));
    std::vector<float> mine(size);
    for (std::size_t i = 0; i < size; ++i)
        mine[i] = static_cast<float>(random.normal(i) * std::exp(10 * random.uniform(i)));
    auto once = mine, again = mine;
    world().sum(std::span(once)).wait();
    world().sum(std::span(again)).wait();
    CHECK((std::memcmp(once.data(), again.data(), size * sizeof(float)) == 0));
    divs::comm::require_equal(world(), std::as_bytes(std::span(once)), "sum");
}

TEST_CASE("the maximum is the maximum") {
    const std::size_t size = GENERATE(1, 17, 100003);
    auto values = values_of<double>(world().rank(), size, 5);
    world().maximum(std::span(values)).wait();
    std::vector<double> expected = values_of<double>(0, size, 5);
    for (int r = 1; r < world().size(); ++r) {
        const auto other = values_of<double>(r, size, 5);
        for (std::size_t i = 0; i < size; ++i) expected[i] = std::max(expected[i], other[i]);
    }
    CHECK((values == expected));
}

TEST_CASE("a broadcast gives everybody root's bytes") {
    const int root = GENERATE(range(0, 4)) % world().size();
    const std::size_t size = GENERATE(0, 1, 1000, (1 << 20) - 1, 1 << 20, 3500001);
    const auto expected = random_bytes(size, 9);
    std::vector<std::byte> bytes(size);
    if (world().rank() == root) bytes = expected;
    world().broadcast(std::span(bytes), root).wait();
    CHECK((bytes == expected));
    // The others do not know the length.
    CHECK((world().broadcast(world().rank() == root ? expected : random_bytes(3, 1), root) == expected));
}

TEST_CASE("gather collects strings of different lengths, in order of ranks") {
    const int root = GENERATE(range(0, 4)) % world().size();
    const std::size_t unit = GENERATE(0, 1, 3000, 2500000);
    const auto of = [&](int rank) {
        return random_bytes(unit * static_cast<std::size_t>(rank), 20 + static_cast<std::uint64_t>(rank));
    };
    const auto gathered = world().gather(of(world().rank()), root);
    if (world().rank() == root) {
        REQUIRE(static_cast<int>(gathered.size()) == world().size());
        for (int r = 0; r < world().size(); ++r) CHECK((gathered[static_cast<std::size_t>(r)] == of(r)));
    } else {
        CHECK(gathered.empty());
    }
    const auto everywhere = world().all_gather(of(world().rank()));
    REQUIRE(static_cast<int>(everywhere.size()) == world().size());
    for (int r = 0; r < world().size(); ++r) CHECK((everywhere[static_cast<std::size_t>(r)] == of(r)));
}

TEST_CASE("many posted works run in the order of posting") {
    const std::size_t works = 200;
    std::vector<std::vector<float>> values(works);
    std::vector<divs::comm::Work> posted;
    for (std::size_t k = 0; k < works; ++k) {
        values[k] = values_of<float>(world().rank(), k * k % 5000, k);
        posted.push_back(world().sum(std::span(values[k])));
    }
    // The order of waiting does not matter.
    const auto order = divs::Random(1, divs::Stream::test).permutation(works);
    for (const auto k : order) posted[k].wait();
    double last = 0;
    for (std::size_t k = 0; k < works; ++k) {
        CHECK((values[k] == expected_sum<float>(values[k].size(), k)));
        CHECK(posted[k].done());
        CHECK(posted[k].start_seconds() >= last);
        CHECK(posted[k].end_seconds() >= posted[k].start_seconds());
        last = posted[k].end_seconds();
    }
}

TEST_CASE("a small sum from within a step waits its turn behind queued large ones") {
    std::vector<float> large = values_of<float>(world().rank(), 1000000, 1);
    std::vector<double> small = values_of<double>(world().rank(), 128, 2);
    const auto first = world().sum(std::span(large));
    world().sum(std::span(small)).wait();
    CHECK(first.done());
    CHECK((small == expected_sum<double>(128, 2)));
    first.wait();
    CHECK((large == expected_sum<float>(1000000, 1)));
}

TEST_CASE("a barrier holds everybody until all are there") {
    for (int i = 0; i < 20; ++i) world().barrier().wait();
    // Nobody can be two rounds ahead: each rank's round arrives before anybody posts the next.
    std::vector<std::int64_t> rounds(1);
    for (std::int64_t i = 0; i < 20; ++i) {
        rounds[0] = i;
        world().sum(std::span(rounds)).wait();
        CHECK(rounds[0] == i * world().size());
    }
}

TEST_CASE("ranks that differ from rank 0 are named on all ranks") {
    auto bytes = random_bytes(1000, 4);
    CHECK_NOTHROW(divs::comm::require_equal(world(), bytes, "configuration"));
    if (world().size() == 1) return;
    if (world().rank() == world().size() - 1) bytes.back() ^= std::byte{1};
    CHECK_THROWS_WITH(divs::comm::require_equal(world(), bytes, "configuration"),
                      Catch::Matchers::ContainsSubstring("configuration") &&
                          Catch::Matchers::ContainsSubstring(std::to_string(world().size() - 1)));
    bytes.resize(world().rank() == 1 ? 999 : 1000);
    CHECK_THROWS_AS(divs::comm::require_equal(world(), bytes, "configuration"), divs::CommunicationError);
}

TEST_CASE("a rank that does not exist is refused where it is named") {
    std::vector<std::byte> bytes(4);
    std::vector<divs::comm::Message> received;
    CHECK_THROWS_WITH(world().broadcast(std::span(bytes), world().size()),
                      Catch::Matchers::ContainsSubstring("expected 0 to"));
    CHECK_THROWS_AS(world().exchange({{-1, bytes}}, received), divs::CommunicationError);
    CHECK_NOTHROW(world().barrier().wait());
}

TEST_CASE("MPI's own allreduce agrees") {
    auto values = values_of<float>(world().rank(), 100001, 8);
    world().sum_by_library(values).wait();
    CHECK((values == expected_sum<float>(100001, 8)));
}

// Not in the usual runs: 2.4 GB a rank.
TEST_CASE("lengths beyond INT_MAX bytes", "[.large]") {
    std::vector<float> values(600000001, 1);
    values.back() = 2;
    world().sum(std::span(values)).wait();
    const auto n = static_cast<float>(world().size());
    CHECK(std::count(values.begin(), values.end(), n) == 600000000);
    CHECK(values.back() == 2 * n);
    if (world().rank() != 0) std::fill(values.begin(), values.end(), 0.0F);
    world().broadcast(std::as_writable_bytes(std::span(values)), 0).wait();
    CHECK(std::count(values.begin(), values.end(), n) == 600000000);
}
