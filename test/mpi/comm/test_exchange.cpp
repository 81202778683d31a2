// Point to point: random patterns, which every rank can make from the seed and so knows what it must get.
#include <vector>

#include "divs/core/random.hpp"
#include "mpi/world.hpp"
#include "support/catch.hpp"

using divs::comm::Message;
using divs::test::world;

namespace {

std::vector<std::byte> content(int from, int to, std::uint64_t number, std::size_t size) {
    const std::uint64_t key =
        divs::Random(number, divs::Stream::test, static_cast<std::uint64_t>(from * 100 + to)).bits(0);
    std::vector<std::byte> bytes(size);
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>((i + 1) * (key | 1) >> 40);
    return bytes;
}

// What `from` sends in a round: up to three messages to some of the ranks, itself included; most short, some
// beyond a piece, some empty.
std::vector<Message> outgoing(int from, std::uint64_t round) {
    const divs::Random random(round, divs::Stream::test, static_cast<std::uint64_t>(from));
    std::vector<Message> messages;
    const std::uint64_t count = random.below(0, static_cast<std::uint64_t>(3 * world().size()));
    for (std::uint64_t k = 1; k <= count; ++k) {
        const int to = static_cast<int>(random.below(3 * k, static_cast<std::uint64_t>(world().size())));
        const std::uint64_t kind = random.below(3 * k + 1, 10);
        const std::uint64_t limit = kind == 0 ? 9000000 : kind < 3 ? 1 : 3000;
        messages.push_back({to, content(from, to, k, random.below(3 * k + 2, limit))});
    }
    return messages;
}

}  // namespace

TEST_CASE("every message arrives once, in order of peers and of sending") {
    for (std::uint64_t round = 0; round < 12; ++round) {
        std::vector<Message> expected;
        for (int from = 0; from < world().size(); ++from)
            for (auto& message : outgoing(from, round))
                if (message.peer == world().rank()) expected.push_back({from, std::move(message.bytes)});
        std::vector<Message> received;
        world().exchange(outgoing(world().rank(), round), received).wait();
        REQUIRE(received.size() == expected.size());
        for (std::size_t i = 0; i < expected.size(); ++i) {
            CHECK(received[i].peer == expected[i].peer);
            CHECK((received[i].bytes == expected[i].bytes));
        }
    }
}

TEST_CASE("what came in before stays, and exchanges queue like everything else") {
    const int right = (world().rank() + 1) % world().size(),
              left = (world().rank() + world().size() - 1) % world().size();
    std::vector<Message> received{{7, {}}};
    std::vector<divs::comm::Work> works;
    std::vector<float> one{1};
    for (std::uint64_t k = 0; k < 10; ++k) {
        works.push_back(world().exchange({{right, content(world().rank(), right, k, 1000 * k)}}, received));
        if (k % 3 == 0) works.push_back(world().sum(one));
    }
    for (const auto& work : works) work.wait();
    REQUIRE(received.size() == 11);
    CHECK(received[0].peer == 7);
    for (std::uint64_t k = 0; k < 10; ++k) {
        CHECK(received[k + 1].peer == left);
        CHECK((received[k + 1].bytes == content(left, world().rank(), k, 1000 * k)));
    }
}
