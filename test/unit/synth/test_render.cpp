// Pictures against the truth given with them: a lone vehicle is what differs from the empty road.
#include <algorithm>
#include <cstdlib>

#include "divs/synth/renderer.hpp"
#include "support/catch.hpp"

using namespace divs;
using namespace divs::synth;

namespace {

constexpr int width = 320, height = 180;

// Soft light and a still, noiseless camera.
Conditions studio() {
    Conditions c = make_conditions(1, 1, Daylight::day, false);
    c.sun = {0, 0, 0};
    c.ambient = {0.8F, 0.8F, 0.8F};
    c.noise = 0;
    c.shake = 0;
    return c;
}

Vehicle vehicle_at(const Scene& scene, VehicleClass kind, int lane, double s, std::uint32_t track) {
    Vehicle v;
    v.track = track;
    v.kind = kind;
    v.lane = lane;
    v.s = s;
    v.d = scene.lanes[static_cast<std::size_t>(lane)].d;
    v.look = track * 977;
    if (kind == VehicleClass::motorbike) v.length = 2.1, v.width = 0.8, v.height = 1.6;
    if (kind == VehicleClass::van) v.length = 5.4, v.width = 2, v.height = 2.25;
    if (kind == VehicleClass::truck) v.length = 9.5, v.width = 2.5, v.height = 3.6;
    if (kind == VehicleClass::bus) v.length = 11.8, v.width = 2.55, v.height = 3.1;
    return v;
}

struct Rect {
    int left = width, right = 0, top = height, bottom = 0;
    double area() const { return std::max(0, right - left) * static_cast<double>(std::max(0, bottom - top)); }
};

Rect difference(const Picture& a, const Picture& b, int threshold) {
    Rect r;
    for (int y = 0; y < a.height; ++y) {
        for (int x = 0; x < a.width; ++x) {
            int most = 0;
            for (std::size_t c = 0; c < 3; ++c)
                most = std::max(most, std::abs(a.planes[c][a.at(x, y)] - b.planes[c][a.at(x, y)]));
            if (most > threshold)
                r = {std::min(r.left, x), std::max(r.right, x + 1), std::min(r.top, y),
                     std::max(r.bottom, y + 1)};
        }
    }
    return r;
}

double overlap(const Rect& a, const Rect& b) {
    const Rect both{std::max(a.left, b.left), std::min(a.right, b.right), std::max(a.top, b.top),
                    std::min(a.bottom, b.bottom)};
    return both.area() / (a.area() + b.area() - both.area());
}

Rect rect_of(const Sighting& s) {
    return {static_cast<int>(s.x), static_cast<int>(s.x + s.width), static_cast<int>(s.y),
            static_cast<int>(s.y + s.height)};
}

}  // namespace

TEST_CASE("the box of a lone vehicle bounds what differs from the empty road") {
    const Conditions light = studio();
    int tried = 0;
    for (std::uint64_t number = 0; number < 6; ++number) {
        Scene scene = make_scene(3, number, static_cast<float>(height) / width);
        scene.surroundings = Surroundings::field;
        Renderer renderer(scene, light, width, height, 1);
        const Picture empty = renderer.render({}, 0, 0);
        for (std::size_t kind = 0; kind < vehicle_class_names.size(); ++kind) {
            std::vector<Sighting> seen;
            const double s = scene.near + 6 + 4 * static_cast<double>(kind);
            const int lane = static_cast<int>(kind % scene.lanes.size());
            const Picture& picture = renderer.render(
                {vehicle_at(scene, static_cast<VehicleClass>(kind), lane, s, 5)}, 0, 0, &seen);
            if (seen.size() != 1 || seen[0].inside < 0.99F || seen[0].visible < 0.99F) continue;
            ++tried;
            INFO("scene " << number << " class " << vehicle_class_names[kind]);
            CHECK(overlap(rect_of(seen[0]), difference(picture, empty, 22)) > 0.7);
            CHECK(seen[0].foot.x > seen[0].x - 2);
            CHECK(seen[0].foot.x < seen[0].x + seen[0].width + 2);
            CHECK(seen[0].foot.y > seen[0].y);
            CHECK(seen[0].foot.y < seen[0].y + seen[0].height + 2);
        }
    }
    CHECK(tried > 15);
}

TEST_CASE("an empty road gives the same picture at any time when nothing moves or hisses") {
    const Scene scene = make_scene(4, 0, static_cast<float>(height) / width);
    const Conditions light = studio();
    Renderer renderer(scene, light, width, height, 2);
    const std::uint64_t first = hash_of(renderer.render({}, 0, 0));
    CHECK(hash_of(renderer.render({}, 17, 3.5)) == first);
}

TEST_CASE("the nearer vehicle hides the farther one, and the truth says how much") {
    Scene scene = make_scene(3, 0, static_cast<float>(height) / width);
    scene.line.curvature = 0;
    scene.lanes = {{Direction::away, 0}};
    scene.camera = Camera::looking({0, 0, 7}, 0, 0.12F, 0, 1.1F, {0.5F, 0.28F});
    const Conditions light = studio();
    Renderer renderer(scene, light, width, height, 3);
    std::vector<Sighting> seen;
    const Vehicle car = vehicle_at(scene, VehicleClass::car, 0, 60, 1),
                  bus = vehicle_at(scene, VehicleClass::bus, 0, 40, 2);
    renderer.render({car}, 0, 0, &seen);
    REQUIRE(seen.size() == 1);
    CHECK(seen[0].visible == 1.0F);
    renderer.render({car, bus}, 0, 0, &seen);
    REQUIRE(seen.size() >= 1);
    CHECK(seen.back().vehicle == 1);  // nearest last
    CHECK(seen.back().visible == 1.0F);
    for (const Sighting& s : seen) {
        if (s.vehicle == 0) CHECK(s.visible < 0.7F);
    }
}

TEST_CASE("what a post hides does not count as visible") {
    Scene scene = make_scene(3, 0, static_cast<float>(height) / width);
    scene.line.curvature = 0;
    scene.lanes = {{Direction::away, 0}};
    scene.left = -5, scene.right = 5;
    scene.gantry = 30;  // signs over the road between the camera and the bus
    scene.surroundings = Surroundings::field;
    scene.camera = Camera::looking({0, 0, 12}, 0, 0.2F, 0, 1.1F, {0.5F, 0.28F});
    const Conditions light = studio();
    Renderer renderer(scene, light, width, height, 3);
    std::vector<Sighting> seen;
    renderer.render({vehicle_at(scene, VehicleClass::bus, 0, 70, 1)}, 0, 0, &seen);
    REQUIRE(seen.size() == 1);
    CHECK(seen[0].visible < 0.98F);
    CHECK(seen[0].visible > 0.0F);
}

TEST_CASE("a vehicle moves in the picture as the camera's shake moves the road") {
    const Scene scene = make_scene(3, 1, static_cast<float>(height) / width);
    Conditions light = studio();
    light.shake = 2;
    Renderer shaken(scene, light, width, height, 9);
    Conditions calm = studio();
    Renderer still(scene, calm, width, height, 9);
    std::vector<Sighting> moved, fixed;
    const std::vector<Vehicle> cars{vehicle_at(scene, VehicleClass::car, 0, scene.near + 20, 1)};
    still.render(cars, 3, 0.2, &fixed);
    bool differs = false;
    for (std::uint64_t frame = 0; frame < 10; ++frame) {
        shaken.render(cars, frame, 0.1 * static_cast<double>(frame), &moved);
        REQUIRE(moved.size() == fixed.size());
        const double x = moved[0].foot.x - fixed[0].foot.x, y = moved[0].foot.y - fixed[0].foot.y;
        CHECK(std::abs(moved[0].x - fixed[0].x - x) <= 1.5);
        CHECK(std::abs(moved[0].y - fixed[0].y - y) <= 1.5);
        differs = differs || std::abs(x) + std::abs(y) > 0.3;
    }
    CHECK(differs);
}

TEST_CASE("night, rain and dusk look different from day") {
    const Scene scene = make_scene(3, 2, static_cast<float>(height) / width);
    const auto brightness = [&](Daylight when) {
        const Conditions light = make_conditions(2, 3, when, false);
        Renderer renderer(scene, light, width, height, 3);
        const Picture& p = renderer.render({}, 0, 0);
        double sum = 0;
        for (const std::uint8_t v : p.planes[1]) sum += v;
        return sum / static_cast<double>(p.planes[1].size());
    };
    CHECK(brightness(Daylight::night) < 0.5 * brightness(Daylight::day));
    CHECK(brightness(Daylight::night) < brightness(Daylight::dusk));
}
