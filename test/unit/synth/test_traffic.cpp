// The traffic model: conservation, safety, and the density-speed relation that congestion means.
#include <algorithm>
#include <cmath>
#include <map>

#include "divs/synth/traffic.hpp"
#include "support/catch.hpp"

using namespace divs;
using namespace divs::synth;

namespace {

TrafficOptions three_lanes(double density) {
    TrafficOptions o;
    o.lanes = {{Direction::away, 2}, {Direction::away, 5.5}, {Direction::toward, -2}};
    o.density = density;
    return o;
}

double mean_speed(const Traffic& traffic) {
    double sum = 0;
    for (const Vehicle& v : traffic.vehicles()) sum += v.speed;
    return sum / static_cast<double>(traffic.vehicles().size());
}

}  // namespace

TEST_CASE("the number of vehicles is the density times the road, and stays") {
    Traffic traffic(three_lanes(40), 1, 2, 3);
    const auto expected = static_cast<std::size_t>(std::lround(40 * 0.45 * 3));
    CHECK(traffic.vehicles().size() == expected);
    traffic.advance(30);
    CHECK(traffic.vehicles().size() == expected);
    CHECK(traffic.density(-25, 425) == Approx(40).epsilon(0.02));
}

TEST_CASE("vehicles of a lane never drive through each other") {
    for (const double density : {20.0, 45.0, 90.0}) {
        Traffic traffic(three_lanes(density), 4, 5, 6);
        for (int step = 0; step < 300; ++step) {
            traffic.advance(0.1);
            std::map<int, std::vector<const Vehicle*>> lanes;
            for (const Vehicle& v : traffic.vehicles()) lanes[v.lane].push_back(&v);
            for (auto& [lane, in] : lanes) {
                std::sort(in.begin(), in.end(),
                          [](const Vehicle* a, const Vehicle* b) { return a->s < b->s; });
                for (std::size_t i = 1; i < in.size(); ++i) {
                    INFO("density " << density << " lane " << lane << " step " << step);
                    REQUIRE(in[i]->s - in[i - 1]->s > (in[i]->length + in[i - 1]->length) / 2 - 0.05);
                }
            }
        }
    }
}

TEST_CASE("tracks move continuously, forwards, and end only at the ends of the road") {
    Traffic traffic(three_lanes(25), 7, 8, 9);
    std::map<std::uint32_t, Vehicle> before;
    for (const Vehicle& v : traffic.vehicles()) before.emplace(v.track, v);
    for (int step = 0; step < 400; ++step) {
        traffic.advance(0.1);
        std::map<std::uint32_t, Vehicle> now;
        for (const Vehicle& v : traffic.vehicles()) now.emplace(v.track, v);
        REQUIRE(now.size() == traffic.vehicles().size());  // no two share a number
        for (const auto& [track, v] : before) {
            const auto found = now.find(track);
            if (found == now.end()) {
                const double left = v.s + 25, right = 425 - v.s;
                CHECK(std::min(left, right) < v.speed * 0.1 + 0.5);
                continue;
            }
            const double moved = found->second.s - v.s;
            const bool away = v.lane < 2;
            CHECK((away ? moved : -moved) >= -1e-9);
            CHECK(std::fabs(moved) == Approx(0.05 * (v.speed + found->second.speed)).margin(0.05));
            CHECK(std::fabs(found->second.d - v.d) < 0.35);  // sideways, m
        }
        before = std::move(now);
    }
}

TEST_CASE("more vehicles are slower vehicles") {
    double last = 1e9;
    for (const double density : {5.0, 20.0, 40.0, 70.0, 100.0}) {
        Traffic traffic(three_lanes(density), 11, 12, 13);
        traffic.advance(20);
        CHECK(mean_speed(traffic) < last);
        last = mean_speed(traffic);
    }
    CHECK(last < 4);  // m/s: a jam
}

TEST_CASE("drivers change lanes, within their direction only") {
    Traffic traffic(three_lanes(12), 14, 15, 16);
    std::map<std::uint32_t, int> lane;
    int changes = 0;
    for (int step = 0; step < 600; ++step) {
        traffic.advance(0.1);
        for (const Vehicle& v : traffic.vehicles()) {
            const auto [at, fresh] = lane.emplace(v.track, v.lane);
            if (fresh || at->second == v.lane) continue;
            ++changes;
            CHECK(at->second != 2);
            CHECK(v.lane != 2);
            at->second = v.lane;
        }
    }
    CHECK(changes >= 3);
}

TEST_CASE("traffic is a function of its key") {
    const auto run = [](std::uint64_t key) {
        Traffic traffic(three_lanes(30), 1, 2, key);
        traffic.advance(5);
        double sum = 0;
        for (const Vehicle& v : traffic.vehicles()) sum += v.s * v.track + v.speed;
        return sum;
    };
    CHECK(run(3) == run(3));
    CHECK(run(3) != run(4));
}
