// Who drives where: a ring of lanes with the Intelligent Driver Model (Treiber, Hennecke, Helbing, "Congested
// traffic states in empirical observations and microscopic simulations", Phys. Rev. E 62, 2000) along a lane
// and MOBIL (Kesting, Treiber, Helbing, "General lane-changing model MOBIL for car-following models", 2007)
// between lanes.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "divs/core/random.hpp"

namespace divs::synth {

enum class VehicleClass : std::uint8_t { car, van, pickup, truck, bus, motorbike };
inline constexpr std::array vehicle_class_names{std::string_view("car"),    std::string_view("van"),
                                                std::string_view("pickup"), std::string_view("truck"),
                                                std::string_view("bus"),    std::string_view("motorbike")};

// Traffic that heads away from the camera's foot (growing s) or towards it.
enum class Direction : std::uint8_t { away, toward };
inline constexpr std::array direction_names{std::string_view("away"), std::string_view("toward")};

struct Lane {
    Direction direction = Direction::away;
    double d = 0;  // of its middle, metres to the right of the centre line
};

// One vehicle at one time. Metres, seconds.
struct Vehicle {
    std::uint32_t track = 0;  // new each time that it enters the ring's stretch of road
    VehicleClass kind = VehicleClass::car;
    std::uint8_t variant = 0;  // body style within the class
    int lane = 0;              // index into the lanes
    double s = 0, d = 0;       // of its middle on the road
    double heading = 0;        // radians off the lane, to the right of its travel, while changing lanes
    double speed = 0, acceleration = 0;
    double length = 4.5, width = 1.8, height = 1.5;
    std::uint64_t look = 0;  // chooses colours
};

struct TrafficOptions {
    std::vector<Lane> lanes;
    double start = -25, length = 450;                             // the stretch of road that is the ring
    double density = 15;                                          // vehicles per kilometre and lane
    double speed_limit = 27;                                      // metres per second
    std::array<double, 6> mix{0.5, 0.12, 0.1, 0.13, 0.06, 0.09};  // share of each class
};

class Traffic {
  public:
    // A function of (options, seed, stream numbers a and b) alone.
    Traffic(const TrafficOptions& options, std::uint64_t seed, std::uint64_t a, std::uint64_t b);

    void advance(double seconds);
    // In no particular order; a vehicle keeps its place in the list over its life.
    const std::vector<Vehicle>& vehicles() const noexcept { return vehicles_; }
    // Vehicles per kilometre and lane between two places on the road.
    double density(double from, double to) const noexcept;

  private:
    // What a driver is like, and the lane change in hand.
    struct Driver {
        double desired_speed = 30, headway = 1.4, acceleration = 1.4, braking = 2.0, gap = 2.0;
        double x = 0;  // travelled along the ring, [0, length)
        double from_d = 0, since_change = 1e9, until_check = 0;
    };
    struct Neighbours {
        int ahead = -1, behind = -1;
    };

    void enter(std::size_t i);  // a new identity at the start of the stretch
    void place_all(std::uint64_t seed, std::uint64_t a, std::uint64_t b);
    void sort_lanes();
    Neighbours neighbours(int lane, double x, int except) const;
    double distance(std::size_t behind, std::size_t ahead) const;  // bumper to bumper, round the ring
    double follow(std::size_t i, int ahead) const;       // acceleration of the Intelligent Driver Model
    bool worth_changing(std::size_t i, int lane) const;  // MOBIL
    void change_lanes(double dt);
    void step(double dt);
    void settle(std::size_t i);  // s, d and heading from x and lane

    TrafficOptions options_;
    Random random_;
    std::uint64_t drawn_ = 0;
    std::uint32_t next_track_ = 1;
    std::vector<Vehicle> vehicles_;
    std::vector<Driver> drivers_;
    std::vector<std::vector<int>> in_lane_;  // vehicles by lane, by x
};

}  // namespace divs::synth
