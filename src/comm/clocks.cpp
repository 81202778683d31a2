#include "divs/comm/clocks.hpp"

#include <array>
#include <chrono>

#include "access.hpp"
#include "channel.hpp"
#include "divs/core/clock.hpp"

namespace divs::comm {
namespace {

constexpr int question_slot = 0, answer_slot = 1;
constexpr double spin_seconds = 200e-6;  // before whoever drives the operation may sleep

double wall_seconds() {
    return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

Task complete(Channel& channel, Transfer& transfer) {
    const Stopwatch spinning;
    while (!channel.test(transfer))
        if (spinning.seconds() > spin_seconds) co_await channel.pause();
}

Task ask(Channel& channel, int peer, ClockOffset& offset) {
    std::array<double, 2> clocks{};  // steady, wall
    char question = 0;
    Transfer answer = channel.receive(clocks.data(), sizeof clocks, peer, answer_slot);
    const double before = now_seconds(), wall_before = wall_seconds();
    Transfer out = channel.send(&question, 1, peer, question_slot);
    co_await complete(channel, out);
    co_await complete(channel, answer);
    const double trip = now_seconds() - before;
    if (offset.round_trip > 0 && trip >= offset.round_trip) co_return;
    // The answer was given half way, to within half the trip.
    offset = {before + trip / 2 - clocks[0], wall_before + trip / 2 - clocks[1], trip};
}

Task answer(Channel& channel) {
    char question = 0;
    Transfer in = channel.receive(&question, 1, 0, question_slot);
    co_await complete(channel, in);
    std::array<double, 2> clocks{now_seconds(), wall_seconds()};
    Transfer out = channel.send(clocks.data(), sizeof clocks, 0, answer_slot);
    co_await complete(channel, out);
}

Task read_clocks(Channel& channel, int rounds, std::vector<ClockOffset>& into) {
    if (channel.rank() == 0) into.assign(static_cast<std::size_t>(channel.size()), {});
    for (int peer = 1; peer < channel.size(); ++peer)
        for (int round = 0; round < rounds; ++round) {
            if (channel.rank() == 0) co_await ask(channel, peer, into[static_cast<std::size_t>(peer)]);
            if (channel.rank() == peer) co_await answer(channel);
        }
}

}  // namespace

std::vector<ClockOffset> clock_offsets(World& world, int rounds) {
    std::vector<ClockOffset> offsets;
    WorldAccess::post(world, "clocks", [rounds, &offsets](Channel& channel) {
        return read_clocks(channel, rounds, offsets);
    }).wait();
    return offsets;
}

}  // namespace divs::comm
