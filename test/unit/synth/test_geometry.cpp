// Projection and road coordinates against closed forms and against each other.
#include <cmath>

#include "divs/core/random.hpp"
#include "divs/synth/geometry.hpp"
#include "support/catch.hpp"

using namespace divs;
using namespace divs::synth;

TEST_CASE("a camera that looks straight ahead projects by similar triangles") {
    const Camera camera = Camera::looking({1, 2, 3}, 0, 0, 0, 100, {50, 40});
    const Vec2 p = camera.project({1 + 2, 2 + 10, 3 + 1});  // 2 m to the right, 1 m above, 10 m ahead
    CHECK(p.x == Approx(50 + 100 * 2.0 / 10));
    CHECK(p.y == Approx(40 - 100 * 1.0 / 10));
}

TEST_CASE("a ray through a projected point leads back to the point") {
    const Random random(5, Stream::test);
    for (std::uint64_t n = 0; n < 200; ++n) {
        const auto at = [&](std::uint64_t i, double low, double high) {
            return static_cast<float>(random.uniform(n * 16 + i, low, high));
        };
        const Camera camera =
            Camera::looking({at(0, -9, 9), at(1, -9, 9), at(2, 3, 20)}, at(3, -1, 1), at(4, 0, 1),
                            at(5, -0.1, 0.1), at(6, 100, 900), {at(7, 0, 300), at(8, 0, 200)});
        const Vec3 point = camera.position + camera.forward * at(9, 5, 90) + camera.right * at(10, -20, 20) +
                           camera.down * at(11, -9, 9);
        const Vec3 direction = camera.ray(camera.project(point));
        const float depth = camera.to_camera(point).z;
        CHECK(length(camera.position + direction * depth - point) < 1e-3F * depth);
    }
}

TEST_CASE("road coordinates are inverse to places on the road, on curves to both sides") {
    const Random random(6, Stream::test);
    for (std::uint64_t n = 0; n < 500; ++n) {
        const CentreLine line{n % 5 == 0 ? 0.0F : static_cast<float>(random.uniform(3 * n, -0.003, 0.003))};
        const RoadPoint p{static_cast<float>(random.uniform(3 * n + 1, -20, 300)),
                          static_cast<float>(random.uniform(3 * n + 2, -25, 25))};
        const Vec3 place = line.at(p);
        const RoadPoint back = line.locate(place.x, place.y);
        CHECK(back.s == Approx(p.s).margin(0.05));
        CHECK(back.d == Approx(p.d).margin(0.05));
    }
}

TEST_CASE("the heading of the road is the direction in which it goes on") {
    const CentreLine line{0.002F};
    const Vec3 a = line.at({100, 0}), b = line.at({100.5F, 0});
    CHECK(std::atan2(b.x - a.x, b.y - a.y) == Approx(line.heading(100.25F)).margin(1e-3));
    CHECK(length(b - a) == Approx(0.5).margin(1e-3));
}
