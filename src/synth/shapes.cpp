#include "shapes.hpp"

namespace divs::synth {
namespace {

// Starts a shape with a body standing on a dark underside.
Shape body(float length, float width, float height, float floor, float shoulder, float taper) {
    Shape s{length, width, height, {}, {}, {}, {}, {}};
    const float l = length / 2, w = width / 2;
    s.blocks.push_back({-l + 0.15F, l - 0.15F, w - 0.12F, 0.12F, -l + 0.1F, l - 0.1F, w - 0.08F,
                        floor + 0.05F, Material::dark, Material::dark, 0});
    s.blocks.push_back(
        {-l, l, w, floor, -l + taper, l - taper, w - 0.04F, shoulder, Material::paint, Material::paint, 1});
    return s;
}

void add_lamps(Shape& s, float y, float front_z, float back_z, int block, float v0, float v1, float width) {
    const float l = s.length / 2;
    for (const float side : {-1.0F, 1.0F}) {
        s.head_lamps.push_back({l, side * y, front_z});
        s.tail_lamps.push_back({-l, side * y, back_z});
    }
    s.panels.push_back({block, Face::front, 0.03F, 0.03F + width, v0, v1, Material::head_lamp});
    s.panels.push_back({block, Face::front, 0.97F - width, 0.97F, v0, v1, Material::head_lamp});
    s.panels.push_back({block, Face::back, 0.03F, 0.03F + width, v0, v1, Material::tail_lamp});
    s.panels.push_back({block, Face::back, 0.97F - width, 0.97F, v0, v1, Material::tail_lamp});
    s.panels.push_back({block, Face::front, 0.25F, 0.75F, v0 - 0.18F, v1 - 0.1F, Material::dark});
    s.panels.push_back({block, Face::back, 0.38F, 0.62F, v0 - 0.12F, v1 - 0.12F, Material::plate});
}

void add_wheels(Shape& s, std::initializer_list<float> axles, float radius) {
    for (const float x : axles) s.wheels.push_back({x, s.width / 2 + 0.01F, radius});
}

// Glass all round with a painted roof and pillars.
void add_cabin(Shape& s, float back, float front, float rake_back, float rake_front, float bottom,
               int pillars) {
    const float w = s.width / 2;
    const int block = static_cast<int>(s.blocks.size());
    s.blocks.push_back({back, front, w - 0.06F, bottom, back + rake_back, front - rake_front, w - 0.22F,
                        s.height, Material::paint, Material::roof, 2});
    s.panels.push_back({block, Face::front, 0.04F, 0.96F, 0.05F, 0.90F, Material::glass});
    s.panels.push_back({block, Face::back, 0.07F, 0.93F, 0.10F, 0.85F, Material::glass});
    for (const Face side : {Face::left, Face::right}) {
        for (int i = 0; i < pillars; ++i) {
            const float from = 0.05F + 0.9F * static_cast<float>(i) / static_cast<float>(pillars);
            const float to = 0.05F + 0.9F * static_cast<float>(i + 1) / static_cast<float>(pillars) - 0.04F;
            s.panels.push_back({block, side, from, to, 0.08F, 0.86F, Material::glass});
        }
    }
}

Shape make_car(int variant) {
    if (variant == 2) {  // sport utility
        Shape s = body(4.5F, 1.85F, 1.70F, 0.32F, 1.02F, 0.06F);
        add_cabin(s, -2.15F, 1.05F, 0.25F, 0.65F, 1.02F, 3);
        add_lamps(s, 0.72F, 0.82F, 0.95F, 1, 0.55F, 0.82F, 0.2F);
        add_wheels(s, {1.38F, -1.38F}, 0.36F);
        return s;
    }
    Shape s = body(4.4F, 1.8F, 1.46F, 0.25F, 0.90F, 0.08F);
    if (variant == 0) add_cabin(s, -1.55F, 1.10F, 0.65F, 0.85F, 0.88F, 2);  // saloon
    if (variant == 1) add_cabin(s, -2.05F, 1.05F, 0.35F, 0.80F, 0.88F, 2);  // hatchback
    add_lamps(s, 0.70F, 0.68F, 0.75F, 1, 0.55F, 0.82F, 0.22F);
    add_wheels(s, {1.35F, -1.32F}, 0.32F);
    return s;
}

Shape make_van(int variant) {
    Shape s = body(5.4F, 2.0F, 2.25F, 0.30F, 1.10F, 0.03F);
    const float w = 1.0F;
    s.blocks.push_back({-2.68F, 2.1F, w - 0.04F, 1.10F, -2.62F, 1.35F, w - 0.14F, 2.25F, Material::paint,
                        Material::roof, 2});
    s.panels.push_back({2, Face::front, 0.05F, 0.95F, 0.08F, 0.72F, Material::glass});
    s.panels.push_back({2, Face::back, 0.08F, 0.47F, 0.35F, 0.8F, Material::glass});
    s.panels.push_back({2, Face::back, 0.53F, 0.92F, 0.35F, 0.8F, Material::glass});
    for (const Face side : {Face::left, Face::right}) {
        s.panels.push_back({2, side, 0.72F, 0.93F, 0.15F, 0.72F, Material::glass});
        if (variant == 1)
            s.panels.push_back({2, side, 0.1F, 0.66F, 0.25F, 0.72F, Material::glass});  // for people
    }
    add_lamps(s, 0.82F, 0.80F, 1.0F, 1, 0.55F, 0.85F, 0.17F);
    add_wheels(s, {1.75F, -1.65F}, 0.35F);
    return s;
}

Shape make_pickup(int variant) {
    Shape s = body(5.4F, 1.95F, 1.80F, 0.38F, 1.08F, 0.04F);
    add_cabin(s, variant == 0 ? -0.75F : -0.2F, 1.45F, 0.12F, 0.75F, 1.06F, variant == 0 ? 2 : 1);
    const float bed_front = variant == 0 ? 0.34F : 0.45F;  // of the body's length, the open bed on top
    s.panels.push_back({1, Face::top, 0.02F, bed_front, 0.07F, 0.93F, Material::dark});
    add_lamps(s, 0.80F, 0.85F, 0.95F, 1, 0.55F, 0.85F, 0.16F);
    add_wheels(s, {1.7F, -1.65F}, 0.40F);
    return s;
}

Shape make_truck(int variant) {
    Shape s = body(9.5F, 2.5F, 3.6F, 0.55F, 1.05F, 0.0F);
    s.blocks[1].sides = Material::dark;
    s.blocks[1].cover = Material::dark;
    s.blocks.push_back(
        {2.75F, 4.75F, 1.2F, 0.5F, 2.8F, 4.55F, 1.15F, 2.85F, Material::paint, Material::roof, 2});
    s.panels.push_back({2, Face::front, 0.06F, 0.94F, 0.52F, 0.9F, Material::glass});
    s.panels.push_back({2, Face::left, 0.4F, 0.92F, 0.55F, 0.9F, Material::glass});
    s.panels.push_back({2, Face::right, 0.4F, 0.92F, 0.55F, 0.9F, Material::glass});
    const float top = variant == 2 ? 1.75F : 3.6F;  // flat bed or box
    s.blocks.push_back(
        {-4.75F, 2.5F, 1.25F, 0.95F, -4.75F, 2.5F, 1.25F, top, Material::cargo, Material::cargo, 2});
    if (variant == 2) s.panels.push_back({3, Face::top, 0.02F, 0.98F, 0.05F, 0.95F, Material::trim});
    if (variant == 1) {  // curtain sides
        for (const Face side : {Face::left, Face::right})
            s.panels.push_back({3, side, 0, 1, 0, 0.12F, Material::trim});
    }
    s.panels.push_back({3, Face::back, 0.49F, 0.51F, 0.05F, 0.95F, Material::dark});
    add_lamps(s, 0.95F, 0.85F, 0.85F, 2, 0.12F, 0.24F, 0.15F);
    s.panels.push_back({1, Face::back, 0.04F, 0.2F, 0.2F, 0.9F, Material::tail_lamp});
    s.panels.push_back({1, Face::back, 0.8F, 0.96F, 0.2F, 0.9F, Material::tail_lamp});
    add_wheels(s, {3.5F, -2.2F, -3.4F}, 0.5F);
    return s;
}

Shape make_bus(int variant) {
    Shape s = body(11.8F, 2.55F, 3.1F, 0.35F, 3.1F, 0.05F);
    s.blocks[1].cover = Material::roof;
    const int windows = variant == 0 ? 6 : 8;
    for (const Face side : {Face::left, Face::right}) {
        for (int i = 0; i < windows; ++i) {
            const float step = 0.94F / static_cast<float>(windows),
                        from = 0.03F + step * static_cast<float>(i);
            s.panels.push_back({1, side, from, from + step - 0.012F, 0.42F, 0.84F, Material::glass});
        }
        if (variant == 1) s.panels.push_back({1, side, 0.0F, 1.0F, 0.14F, 0.26F, Material::cargo});  // livery
    }
    s.panels.push_back({1, Face::front, 0.04F, 0.96F, 0.30F, 0.85F, Material::glass});
    s.panels.push_back({1, Face::front, 0.25F, 0.75F, 0.88F, 0.97F, Material::plate});
    s.panels.push_back({1, Face::back, 0.12F, 0.88F, 0.55F, 0.85F, Material::glass});
    add_lamps(s, 1.05F, 0.75F, 0.9F, 1, 0.12F, 0.20F, 0.14F);
    add_wheels(s, {3.7F, -2.9F}, 0.48F);
    return s;
}

Shape make_motorbike(int variant) {
    Shape s{2.1F, 0.8F, 1.6F, {}, {}, {}, {}, {}};
    s.blocks.push_back(
        {-0.75F, 0.75F, 0.14F, 0.30F, -0.55F, 0.55F, 0.12F, 0.85F, Material::paint, Material::dark, 1});
    s.blocks.push_back(
        {0.45F, 0.62F, 0.36F, 0.92F, 0.42F, 0.55F, 0.34F, 1.05F, Material::dark, Material::dark, 1});
    s.blocks.push_back(
        {-0.35F, 0.10F, 0.24F, 0.75F, -0.10F, 0.22F, 0.22F, 1.38F, Material::cloth, Material::cloth, 2});
    s.blocks.push_back({-0.02F, 0.26F, 0.13F, 1.36F, 0.0F, 0.22F, 0.10F, 1.62F,
                        variant == 0 ? Material::dark : Material::paint,
                        variant == 0 ? Material::dark : Material::paint, 3});
    if (variant == 1) {  // a box on the back
        s.blocks.push_back({-0.95F, -0.45F, 0.25F, 0.85F, -0.95F, -0.45F, 0.25F, 1.25F, Material::cargo,
                            Material::cargo, 2});
    }
    s.wheels = {{0.72F, 0.05F, 0.31F}, {-0.72F, 0.05F, 0.31F}};
    s.head_lamps = {{0.8F, 0, 0.85F}};
    s.tail_lamps = {{-0.85F, 0, 0.75F}};
    s.panels.push_back({0, Face::front, 0.1F, 0.9F, 0.6F, 0.95F, Material::head_lamp});
    s.panels.push_back({0, Face::back, 0.1F, 0.9F, 0.6F, 0.95F, Material::tail_lamp});
    return s;
}

}  // namespace

Shape make_shape(VehicleClass kind, int variant) {
    switch (kind) {
        case VehicleClass::car:
            return make_car(variant);
        case VehicleClass::van:
            return make_van(variant);
        case VehicleClass::pickup:
            return make_pickup(variant);
        case VehicleClass::truck:
            return make_truck(variant);
        case VehicleClass::bus:
            return make_bus(variant);
        case VehicleClass::motorbike:
            return make_motorbike(variant);
    }
    return make_car(0);
}

}  // namespace divs::synth
