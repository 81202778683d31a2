// Clusters, the byte ledger, and emulated links. The runs' arguments set two ranks a cluster and slow links.
#include <vector>

#include "divs/core/clock.hpp"
#include "mpi/world.hpp"
#include "support/catch.hpp"

using divs::Tier;
using divs::test::world;

namespace {

struct Counts {
    std::uint64_t edge = world().bytes().bytes(Tier::edge), cluster = world().bytes().bytes(Tier::cluster),
                  centre = world().bytes().bytes(Tier::centre);
};

Counts operator-(const Counts& a, const Counts& b) {
    return {a.edge - b.edge, a.cluster - b.cluster, a.centre - b.centre};
}

}  // namespace

TEST_CASE("ranks lie in clusters of two") {
    for (int r = 0; r < world().size(); ++r) CHECK(world().cluster(r) == r / 2);
    CHECK(world().local_size() == world().size());
    CHECK(world().local_rank() == world().rank());
    CHECK_FALSE(world().host().empty());
}

TEST_CASE("a long sum sends 2 (n - 1) / n of its bytes to the right neighbour") {
    const int size = world().size(), rank = world().rank();
    std::vector<float> values(120000, 1);
    const Counts before;
    world().sum(std::span(values)).wait();
    const Counts sent = Counts() - before;
    const std::uint64_t expected =
        2 * static_cast<std::uint64_t>(size - 1) * 480000 / static_cast<std::uint64_t>(size);
    const bool crosses = world().tier(rank, (rank + 1) % size) == Tier::centre;
    CHECK(sent.edge == 0);
    CHECK(sent.cluster == (crosses ? 0 : expected));
    CHECK(sent.centre == (crosses ? expected : 0));
}

TEST_CASE("messages are counted where they go") {
    const int size = world().size(), rank = world().rank();
    std::vector<divs::comm::Message> outgoing, received;
    std::vector<std::uint64_t> expected(3, 0);
    for (int peer = 0; peer < size; ++peer) {
        const auto bytes = static_cast<std::size_t>(1000 + 10 * peer);
        outgoing.push_back({peer, std::vector<std::byte>(bytes)});
        // A message to another rank has its count and its length before it.
        expected[static_cast<std::size_t>(world().tier(rank, peer))] += bytes + (peer == rank ? 0 : 16);
    }
    const Counts before;
    world().exchange(outgoing, received).wait();
    const Counts sent = Counts() - before;
    CHECK(sent.edge == expected[0]);
    CHECK(sent.cluster == expected[1]);
    CHECK(sent.centre == expected[2]);
}

TEST_CASE("an emulated link delays what crosses it, no less than its bandwidth and latency say") {
    const int size = world().size(), rank = world().rank();
    if (size == 1) return;
    // --cluster-link 0.001,1e8 --centre-link 0.004,2e7. Seconds that the sender is at it: the receiver may
    // come late.
    const auto sending = [&](int peer, std::size_t bytes) {
        std::vector<divs::comm::Message> outgoing, received;
        if (rank < peer) outgoing.push_back({peer, std::vector<std::byte>(bytes)});
        const divs::Tier tier = world().tier(rank, peer);
        const double busy = world().bytes().busy_seconds(tier);
        const divs::Stopwatch clock;
        world().exchange(outgoing, received).wait();
        const double seconds = clock.seconds();
        CHECK(received.size() == (rank < peer ? 0 : 1));
        // The ledger's time is that of the data, and no longer than all of it took.
        const double counted = world().bytes().busy_seconds(tier) - busy;
        CHECK(counted <= seconds);
        if (rank < peer) CHECK(counted >= static_cast<double>(bytes) / 1e8);
        return rank < peer ? seconds : 1e9;
    };
    // Count, length and data: three messages, one behind the other.
    CHECK(sending(rank ^ 1, 2000000) >= 0.020 + 3 * 0.001);
    if (size == 4) CHECK(sending(rank ^ 2, 1000000) >= 0.050 + 3 * 0.004);
}

TEST_CASE("a slow sum goes on while its rank computes") {
    if (world().size() == 1) return;
    std::vector<float> values(1000000, 1);  // at least 4 MB / 100 MB/s
    const auto work = world().sum(std::span(values));
    const divs::Stopwatch clock;
    while (clock.seconds() < 0.01) world().poll();
    work.wait();
    CHECK(work.end_seconds() - work.start_seconds() >= 0.04);
    CHECK(work.waited_seconds() <= work.end_seconds() - work.start_seconds());
    CHECK(values[999999] == world().size());
}
