// What vehicles look like: each class and body style as a few tapered boxes, discs for wheels, and panels on
// their faces.
//
// Vehicle axes: x forward, y to its left, z up, metres; the middle of the footprint is the origin.
#pragma once

#include <cstdint>
#include <vector>

#include "divs/synth/geometry.hpp"
#include "divs/synth/traffic.hpp"

namespace divs::synth {

enum class Material : std::uint8_t {
    paint,
    roof,
    glass,
    dark,
    tyre,
    hub,
    trim,
    cargo,
    head_lamp,
    tail_lamp,
    plate,
    cloth,
    skin
};

// A box whose top may be smaller than its bottom.
struct Block {
    float back, front, half_width, bottom;           // at the bottom, z = bottom
    float top_back, top_front, top_half_width, top;  // at the top, z = top
    Material sides = Material::paint, cover = Material::paint;
    int layer = 0;  // drawn from low to high; within a layer the far one first
};

enum class Face : std::uint8_t { front, back, left, right, top };

// Part of a block's face: u along x (on left, right and top) or along y (front and back), v upwards (top:
// along y); 0..1.
struct Panel {
    int block;
    Face face;
    float u0, u1, v0, v1;
    Material material;
};

struct Wheel {
    float x, y, radius;  // y: distance of its outer side from the middle
};

struct Lamp {
    float x, y, z;
};

struct Shape {
    float length, width, height;
    std::vector<Block> blocks;
    std::vector<Panel> panels;
    std::vector<Wheel> wheels;
    std::vector<Lamp> head_lamps, tail_lamps;
};

// One for each (class, variant); scaled to a vehicle's own size when drawn.
Shape make_shape(VehicleClass kind, int variant);

}  // namespace divs::synth
