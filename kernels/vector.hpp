// Sixteen bytes at a time: how memory-bound kernels read and write.
#pragma once

#include <cstdint>

#include "bf16.hpp"

namespace divs::kernels {

// N values of T as one access: 4 float32 or 8 bfloat16 make 16 bytes.
template <class T>
inline constexpr int lanes = 16 / static_cast<int>(sizeof(T));

template <class T, int N = lanes<T>>
struct alignas(sizeof(T) * N) Pack {
    T value[N];
};

__host__ __device__ inline float to_float(float x) {
    return x;
}
__host__ __device__ inline float to_float(bf16 x) {
    return __bfloat162float(x);
}

template <class T>
__host__ __device__ T from_float(float x);
template <>
__host__ __device__ inline float from_float<float>(float x) {
    return x;
}
template <>
__host__ __device__ inline bf16 from_float<bf16>(float x) {
    return __float2bfloat16_rn(x);
}

template <int N, class T>
__device__ void load(const T* from, float (&to)[N]) {
    const auto pack = *reinterpret_cast<const Pack<T, N>*>(from);
#pragma unroll
    for (int i = 0; i < N; ++i) to[i] = to_float(pack.value[i]);
}

template <int N, class T>
__device__ void store(const float (&from)[N], T* to) {
    Pack<T, N> pack;
#pragma unroll
    for (int i = 0; i < N; ++i) pack.value[i] = from_float<T>(from[i]);
    *reinterpret_cast<Pack<T, N>*>(to) = pack;
}

}  // namespace divs::kernels
