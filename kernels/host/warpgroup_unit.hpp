// The instructions of device/warpgroup_unit.hpp on the host, as the PTX manual defines their results:
// barriers that count bytes, copies of boxes with the 128-byte swizzle, products of described factors.
#pragma once

#include <stdexcept>

#include "matrix_unit.hpp"
#include "tensor_map.hpp"

namespace divs::kernels {

struct Barrier {
    std::int32_t bytes;  // announced and not yet come
    std::int16_t missing : 8, count : 7, phase : 1;
};
static_assert(sizeof(Barrier) == 8);

namespace host {

inline void end_phase(Barrier* b) {
    if (b->missing != 0 || b->bytes != 0) return;
    b->missing = b->count;
    b->phase ^= 1;
}
inline void yield() {
    wait_for_warp(1U << warp_lane());
}
// Where the engine and the matrix unit put byte `address`: bits 4-6 turned by bits 7-9.
inline char* swizzled(std::uint32_t address) {
    return shared_pointer(address ^ (address >> 7 & 7) << 4);
}

// Row `row` of a box: 64 channels from `channel` on of the pixel at `pixel`, or zeros where it is null.
inline void store_row(std::uint32_t to, int row, const TensorMap& map, const char* pixel, int channel) {
    for (int c = 0; c < box_channels; ++c) {
        char* at = swizzled(to + static_cast<std::uint32_t>(row * box_row_bytes + c * 2));
        if (pixel && channel + c >= 0 && static_cast<std::uint64_t>(channel + c) < map.map.sizes[0])
            std::memcpy(at, pixel + (channel + c) * 2, 2);
        else
            std::memset(at, 0, 2);
    }
}

// The element at these indices of dimensions 1..., or null outside.
inline const char* pixel_at(const TensorMap& map, const int* index) {
    const char* at = static_cast<const char*>(map.tensor);
    for (int i = 1; i < map.map.rank; ++i) {
        if (index[i - 1] < 0 || static_cast<std::uint64_t>(index[i - 1]) >= map.map.sizes[i]) return nullptr;
        at += static_cast<std::uint64_t>(index[i - 1]) * map.map.strides[i - 1];
    }
    return at;
}

inline void arrived(Barrier* barrier, std::uint32_t rows) {
    barrier->bytes -= static_cast<std::int32_t>(rows * box_row_bytes);
    end_phase(barrier);
}

inline void check_box(const TensorMap& map, int rank, bool pixels, std::uint32_t to) {
    if (map.map.rank != rank || map.map.pixels != pixels) throw std::runtime_error("a map of another kind");
    if (to % 1024 != 0) throw std::runtime_error("a box starts on 1024 bytes");
    if (reinterpret_cast<std::uintptr_t>(map.tensor) % 16 != 0)
        throw std::runtime_error("a tensor starts on 16");
    for (int i = 0; i + 1 < rank; ++i)
        if (map.map.strides[i] % 16 != 0) throw std::runtime_error("strides are multiples of 16 bytes");
}

inline void load_tiled(void* to, const TensorMap* map, Barrier* barrier, int c0, const int* index) {
    const std::uint32_t address = shared_address(to);
    const BoxMap& m = map->map;
    check_box(*map, m.rank, false, address);
    int row = 0;
    for (int k = 0; k < static_cast<int>(m.box[2]); ++k)
        for (int i = 0; i < static_cast<int>(m.box[1]); ++i, ++row) {
            const int at[2] = {index[0] + i, m.rank > 2 ? index[1] + k : 0};
            store_row(address, row, *map, pixel_at(*map, at), c0);
        }
    arrived(barrier, m.box[1] * m.box[2]);
}

// base: the first position along w, h, [t,] n; distance: the tap's along w, h[, t].
template <int axes>
void load_im2col(void* to, const TensorMap* map, Barrier* barrier, int c, const int (&base)[axes + 1],
                 const int (&distance)[axes]) {
    const std::uint32_t address = shared_address(to);
    const BoxMap& m = map->map;
    check_box(*map, axes + 2, true, address);
    int at[axes + 1];
    for (int i = 0; i <= axes; ++i) at[i] = base[i];
    auto last = [&](int i) { return static_cast<int>(m.sizes[i + 1]) - 1 + m.upper[i]; };
    for (int i = 0; i < axes; ++i)
        if (at[i] < m.lower[i] || (at[i] > last(i) && at[axes] < static_cast<int>(m.sizes[axes + 1])))
            throw std::runtime_error("the first position lies outside of the bounding box");
    for (std::uint32_t row = 0; row < m.rows; ++row) {
        int index[axes + 1];
        for (int i = 0; i < axes; ++i) index[i] = at[i] + distance[i];
        index[axes] = at[axes];
        store_row(address, static_cast<int>(row), *map, pixel_at(*map, index), c);
        int i = 0;
        for (; i < axes; ++i) {
            at[i] += static_cast<int>(m.steps[i + 1]);
            if (at[i] <= last(i)) break;
            at[i] = m.lower[i];
        }
        if (i == axes) ++at[axes];
    }
    arrived(barrier, m.rows);
}

// Element (index along the 64 or N, summed index) of a described factor.
inline float factor(std::uint64_t descriptor, bool transposed, int index, int k) {
    const auto start = static_cast<std::uint32_t>(descriptor & 0x3FFF) << 4;
    const auto leading = static_cast<std::uint32_t>(descriptor >> 16 & 0x3FFF) << 4;
    const auto stride = static_cast<std::uint32_t>(descriptor >> 32 & 0x3FFF) << 4;
    if (descriptor >> 62 != 1 || (descriptor >> 49 & 7) != 0)
        throw std::runtime_error("expected a 128-byte swizzle from a multiple of 1024 bytes");
    const auto i = static_cast<std::uint32_t>(index), d = static_cast<std::uint32_t>(k);
    const std::uint32_t address = transposed
                                      ? start + i / 64 * leading + d / 8 * stride + d % 8 * 128 + i % 64 * 2
                                      : start + i / 8 * stride + i % 8 * 128 + d * 2;
    std::uint16_t bits;
    std::memcpy(&bits, swizzled(address), 2);
    return __bfloat162float(bf16{bits});
}

}  // namespace host

inline void start_barrier(Barrier* barrier, int count) {
    *barrier = {};
    barrier->missing = barrier->count = static_cast<std::int16_t>(count);
}
inline bool elected() {
    return host::warp_lane() == 0;
}
inline void publish_barriers() {}
inline void arrive(Barrier* barrier) {
    if (barrier->missing == 0) throw std::runtime_error("more arrivals than a barrier expects");
    --barrier->missing;
    host::end_phase(barrier);
}
inline void arrive_expecting(Barrier* barrier, int bytes) {
    barrier->bytes += bytes;
    arrive(barrier);
}
inline void wait(Barrier* barrier, int parity) {
    for (long turns = 0; (barrier->phase & 1) == parity; ++turns) {
        if (turns > 1000000) throw std::runtime_error("a barrier's phase never ends");
        host::yield();
    }
}

inline void load_box(void* to, const TensorMap* map, Barrier* barrier, int c0, int c1) {
    const int index[2] = {c1, 0};
    host::load_tiled(to, map, barrier, c0, index);
}
inline void load_box(void* to, const TensorMap* map, Barrier* barrier, int c0, int c1, int c2) {
    const int index[2] = {c1, c2};
    host::load_tiled(to, map, barrier, c0, index);
}
inline void load_pixels(void* to, const TensorMap* map, Barrier* barrier, int c, int w, int h, int n,
                        int tap_w, int tap_h) {
    const int base[3] = {w, h, n}, distance[2] = {tap_w, tap_h};
    host::load_im2col<2>(to, map, barrier, c, base, distance);
}
inline void load_pixels(void* to, const TensorMap* map, Barrier* barrier, int c, int w, int h, int t, int n,
                        int tap_w, int tap_h, int tap_t) {
    const int base[4] = {w, h, t, n}, distance[3] = {tap_w, tap_h, tap_t};
    host::load_im2col<3>(to, map, barrier, c, base, distance);
}

inline void begin_products() {}
inline void commit_products() {
    host::grouped_work<1>().commit();
}
template <int Left>
void wait_products() {
    host::grouped_work<1>().wait(Left);
}

// Each thread of the warpgroup makes the elements that it holds; a product reads its factors when it is
// waited for.
template <int TransposedA, int TransposedB, int Registers>
void multiply_async(float (&d)[Registers], std::uint64_t a, std::uint64_t b) {
    const int lane = host::warp_lane(), warp = static_cast<int>(threadIdx.x) / 32 % 4;
    float* sum = d;
    host::grouped_work<1>().add([=] {
        for (int i = 0; i < Registers; ++i) {
            const int row = warp * 16 + lane / 4 + i / 2 % 2 * 8, column = i / 4 * 8 + lane % 4 * 2 + i % 2;
            for (int k = 0; k < 16; ++k)
                sum[i] += host::factor(a, TransposedA, row, k) * host::factor(b, TransposedB, column, k);
        }
    });
}

template <int Registers>
void give_registers() {}
template <int Registers>
void take_registers() {}

}  // namespace divs::kernels
