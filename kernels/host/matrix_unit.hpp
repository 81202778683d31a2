// The instructions of device/matrix_unit.hpp on the host, as the PTX manual defines their results: fragments
// are exchanged between the lanes of a warp.
#pragma once

#include <stdexcept>

#include "asynchronous.hpp"
#include "launch.hpp"

namespace divs::kernels {

// An address in the window of shared memory, as instructions take it. The block's memory starts on 16 bytes
// only.
inline std::uint32_t shared_address(const void* p) {
    return static_cast<std::uint32_t>(static_cast<const char*>(p) -
                                      static_cast<const char*>(host::block_shared())) +
           16;
}
inline char* shared_pointer(std::uint32_t address) {
    return static_cast<char*>(host::block_shared()) + address - 16;
}

inline void copy_async(void* to, const void* from, bool valid) {
    if (shared_address(to) % 16 != 0 || reinterpret_cast<std::uintptr_t>(from) % 16 != 0)
        throw std::runtime_error("copy_async: not aligned to 16 bytes");
    host::grouped_work<0>().add([=] { valid ? std::memcpy(to, from, 16) : std::memset(to, 0, 16); });
}
inline void commit_copies() {
    host::grouped_work<0>().commit();
}
template <int Left>
void wait_copies() {
    host::grouped_work<0>().wait(Left);
}

namespace host {

// What each lane of this warp has at `mine`, readable until the lanes are done with `use`.
template <class T, class Use>
void with_warp(const T& mine, const Use& use) {
    warp_slot(warp_lane()) = reinterpret_cast<std::uint64_t>(&mine);
    wait_for_warp(0xFFFFFFFFU);
    use([](int lane) -> const T& { return *reinterpret_cast<const T*>(warp_slot(lane)); });
    wait_for_warp(0xFFFFFFFFU);
}

inline void load_8x8(std::uint32_t (&to)[4], const void* row, bool transposed) {
    if (shared_address(row) % 16 != 0) throw std::runtime_error("ldmatrix: not aligned to 16 bytes");
    const int lane = warp_lane();
    with_warp(row, [&](const auto& of) {
        for (int i = 0; i < 4; ++i) {
            std::uint16_t pair[2];
            for (int k = 0; k < 2; ++k) {
                const int r = transposed ? lane % 4 * 2 + k : lane / 4,
                          c = transposed ? lane / 4 : lane % 4 * 2 + k;
                std::memcpy(&pair[k], static_cast<const char*>(of(i * 8 + r)) + c * 2, 2);
            }
            to[i] = pair[0] | static_cast<std::uint32_t>(pair[1]) << 16;
        }
    });
}

struct Factors {
    std::uint32_t a[4], b[2];
};

// The product's elements of this lane; a(row, k) and b(k, column) read the warp's registers.
template <class A, class B>
void add_products(float (&sum)[4], int depth, const A& a, const B& b) {
    for (int i = 0; i < 4; ++i) {
        const int row = warp_lane() / 4 + i / 2 * 8, column = warp_lane() % 4 * 2 + i % 2;
        float total = sum[i];
        for (int k = 0; k < depth; ++k) total += a(row, k) * b(k, column);
        sum[i] = total;
    }
}

inline float half_of(std::uint32_t word, int half) {
    return __bfloat162float(bf16{static_cast<std::uint16_t>(word >> (16 * half))});
}
// To TF32: 10 bits of mantissa, to the nearest, ties away from zero. A NaN stays one.
inline float tf32_of(std::uint32_t word) {
    if (const float value = std::bit_cast<float>(word); value != value) return value;
    return std::bit_cast<float>((word + 0x1000U) & ~0x1FFFU);
}

}  // namespace host

inline void load_matrices(std::uint32_t (&to)[4], const void* row) {
    host::load_8x8(to, row, false);
}
inline void load_matrices_transposed(std::uint32_t (&to)[4], const void* row) {
    host::load_8x8(to, row, true);
}

inline void multiply(float (&sum)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1, bf16) {
    const host::Factors mine{{a[0], a[1], a[2], a[3]}, {b0, b1}};
    host::with_warp(mine, [&](const auto& of) {
        host::add_products(
            sum, 16,
            [&](int row, int k) {
                return host::half_of(of(row % 8 * 4 + k % 8 / 2).a[k / 8 * 2 + row / 8], k % 2);
            },
            [&](int k, int column) { return host::half_of(of(column * 4 + k % 8 / 2).b[k / 8], k % 2); });
    });
}
inline void multiply(float (&sum)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1,
                     float) {
    const host::Factors mine{{a[0], a[1], a[2], a[3]}, {b0, b1}};
    host::with_warp(mine, [&](const auto& of) {
        host::add_products(
            sum, 8,
            [&](int row, int k) { return host::tf32_of(of(row % 8 * 4 + k % 4).a[k / 4 * 2 + row / 8]); },
            [&](int k, int column) { return host::tf32_of(of(column * 4 + k % 4).b[k / 4]); });
    });
}

template <class... Parameters>
cudaError_t allow_shared(void (*)(Parameters...), std::size_t bytes) {
    return bytes <= (227U << 10) ? cudaSuccess : throw std::runtime_error("a block has at most 227 KiB");
}

}  // namespace divs::kernels
