// How a kernel is started on the host, and CUDA's functions of a thread, by their names.
#pragma once

#include <math.h>

#include <bit>
#include <cstring>

#include "bf16.hpp"
#include "fiber.hpp"

namespace divs::kernels {

template <class... Parameters, class... Arguments>
void launch(dim3 grid, dim3 block, std::size_t shared_bytes, cudaStream_t stream,
            void (*kernel)(Parameters...), Arguments... arguments) {
    host::queue(stream, [=] {
        ++host::device().counts.launches;
        host::run_grid(grid, block, shared_bytes, [&] { kernel(static_cast<Parameters>(arguments)...); });
    });
}

template <class T>
T* dynamic_shared() {
    return static_cast<T*>(host::block_shared());
}

}  // namespace divs::kernels

inline void __syncthreads() {
    divs::kernels::host::wait_for_block();
}
inline void __syncwarp(unsigned mask = 0xFFFFFFFFU) {
    divs::kernels::host::wait_for_warp(mask);
}

namespace divs::kernels::host {

// The value that the thread of another lane of this warp gives; all threads of the mask call it.
template <class T>
T exchange(unsigned mask, T value, int from) {
    static_assert(sizeof(T) <= sizeof(std::uint64_t));
    std::memcpy(&warp_slot(warp_lane()), &value, sizeof value);
    wait_for_warp(mask);
    T other;
    std::memcpy(&other, &warp_slot(from), sizeof other);
    wait_for_warp(mask);
    return other;
}

}  // namespace divs::kernels::host

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32) {
    const int lane = divs::kernels::host::warp_lane(), other = lane ^ lane_mask;
    return divs::kernels::host::exchange(mask, value, other / width == lane / width ? other : lane);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32) {
    const int lane = divs::kernels::host::warp_lane(), other = lane + static_cast<int>(delta);
    return divs::kernels::host::exchange(mask, value, other / width == lane / width ? other : lane);
}
template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
    const int lane = divs::kernels::host::warp_lane();
    return divs::kernels::host::exchange(mask, value, lane / width * width + source % width);
}
inline unsigned __ballot_sync(unsigned mask, int predicate) {
    using namespace divs::kernels::host;
    warp_slot(warp_lane()) = predicate != 0;
    wait_for_warp(mask);
    unsigned votes = 0;
    for (int lane = 0; lane < 32; ++lane)
        if (mask >> lane & 1 && warp_slot(lane)) votes |= 1U << lane;
    wait_for_warp(mask);
    return votes;
}
inline int __any_sync(unsigned mask, int predicate) {
    return __ballot_sync(mask, predicate) != 0;
}
inline int __all_sync(unsigned mask, int predicate) {
    return __ballot_sync(mask, predicate) == mask;
}

// One thread of the host runs them all, so these need no more.
template <class T, class U>
T atomicAdd(T* at, U value) {
    const T before = *at;
    *at = static_cast<T>(before + static_cast<T>(value));
    return before;
}
template <class T>
T atomicMax(T* at, T value) {
    const T before = *at;
    if (value > before) *at = value;
    return before;
}
template <class T>
T atomicMin(T* at, T value) {
    const T before = *at;
    if (value < before) *at = value;
    return before;
}
inline void __threadfence() {}

inline int __popc(unsigned x) {
    return std::popcount(x);
}
inline unsigned __umulhi(unsigned a, unsigned b) {
    return static_cast<unsigned>(static_cast<std::uint64_t>(a) * b >> 32);
}
template <class T>
T __ldg(const T* at) {
    return *at;
}
inline float __fdividef(float a, float b) {
    return a / b;
}
inline float __saturatef(float x) {
    return x > 0 ? x < 1 ? x : 1.0F : 0.0F;
}
inline float rsqrtf(float x) {
    return 1 / std::sqrt(x);
}
