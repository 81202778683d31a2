#include <algorithm>

#include "block.hpp"
#include "optimiser.hpp"
#include "vector.hpp"

namespace divs::kernels {
namespace {

constexpr int block = 256;
constexpr unsigned norm_blocks = 512;

template <class T>
__device__ void write_copies(const Arena<T>& arena, const ArenaLine& line, std::size_t at,
                             const float (&p)[4]) {
    if (line.owner == 0xFFFF) return;
    const ArenaCopies<T>& owner = arena.copies[line.owner];
    const auto first = static_cast<unsigned>(at - owner.begin);
#pragma unroll
    for (int which = 0; which < 2; ++which) {
        T* copy = owner.copies[which].copy;
        if (!copy) continue;
#pragma unroll
        for (int k = 0; k < 4; ++k)
            if (first + k < owner.size) copy[owner.copies[which].form.place(first + k)] = from_float<T>(p[k]);
    }
}

// Four elements a thread; all of one line.
template <class T, bool Velocity>
__global__ void __launch_bounds__(block)
    sgd_kernel(SgdStep step, Arena<T> arena, float* __restrict__ velocity) {
    const std::size_t at = (static_cast<std::size_t>(blockIdx.x) * block + threadIdx.x) * 4;
    if (at >= arena.size) return;
    const ArenaLine line = arena.lines[at / 16];
    if (line.frozen) return;
    const float decay = line.decays ? step.decay : 0.0F;
    float p[4], g[4], v[4];
    load(arena.parameters + at, p);
    load(arena.gradients + at, g);
    if (Velocity) load(velocity + at, v);
#pragma unroll
    for (int k = 0; k < 4; ++k) {
        g[k] = step.scale * g[k] + decay * p[k];
        if (Velocity) {
            v[k] = step.momentum * v[k] + g[k];
            g[k] = step.nesterov ? g[k] + step.momentum * v[k] : v[k];
        }
        p[k] -= step.rate * g[k];
    }
    if (Velocity) store(v, velocity + at);
    store(p, arena.parameters + at);
    write_copies(arena, line, at, p);
}

template <class T>
__global__ void __launch_bounds__(block)
    adamw_kernel(AdamwStep s, Arena<T> arena, float* __restrict__ first, float* __restrict__ second) {
    const std::size_t at = (static_cast<std::size_t>(blockIdx.x) * block + threadIdx.x) * 4;
    if (at >= arena.size) return;
    const ArenaLine line = arena.lines[at / 16];
    if (line.frozen) return;
    const float decay = line.decays ? s.decay : 0.0F;
    float p[4], g[4], m[4], v[4];
    load(arena.parameters + at, p);
    load(arena.gradients + at, g);
    load(first + at, m);
    load(second + at, v);
#pragma unroll
    for (int k = 0; k < 4; ++k) {
        g[k] *= s.scale;
        m[k] = s.beta1 * m[k] + s.rest1 * g[k];
        v[k] = s.beta2 * v[k] + s.rest2 * g[k] * g[k];
        const float size = sqrtf(v[k]) * s.root_correction2 + s.epsilon;
        p[k] = p[k] * (1 - s.rate * decay) - s.rate * (m[k] * s.correction1) / size;
    }
    store(m, first + at);
    store(v, second + at);
    store(p, arena.parameters + at);
    write_copies(arena, line, at, p);
}

__global__ void __launch_bounds__(block)
    squares_kernel(const float* __restrict__ values, std::size_t size, double* __restrict__ partial) {
    double sum = 0;
    const std::size_t stride = static_cast<std::size_t>(gridDim.x) * block * 4;
    for (std::size_t at = (static_cast<std::size_t>(blockIdx.x) * block + threadIdx.x) * 4; at < size;
         at += stride) {
        if (at + 4 <= size) {
            float v[4];
            load(values + at, v);
#pragma unroll
            for (int k = 0; k < 4; ++k) sum += static_cast<double>(v[k]) * static_cast<double>(v[k]);
        } else {
            for (std::size_t i = at; i < size; ++i)
                sum += static_cast<double>(values[i]) * static_cast<double>(values[i]);
        }
    }
    sum = block_sum<block>(sum);
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(block)
    join_squares_kernel(const double* __restrict__ partial, unsigned count, double* result) {
    double sum = 0;
    for (unsigned i = threadIdx.x; i < count; i += block) sum += partial[i];
    sum = block_sum<block>(sum);
    if (threadIdx.x == 0) *result = sum;
}

}  // namespace

template <class T>
void sgd(const SgdStep& step, const Arena<T>& arena, float* velocity, cudaStream_t stream) {
    if (arena.size == 0) return;
    launch(blocks_for(arena.size / 4, block), block, 0, stream,
           velocity ? sgd_kernel<T, true> : sgd_kernel<T, false>, step, arena, velocity);
}

template <class T>
void adamw(const AdamwStep& step, const Arena<T>& arena, float* first, float* second, cudaStream_t stream) {
    if (arena.size == 0) return;
    launch(blocks_for(arena.size / 4, block), block, 0, stream, adamw_kernel<T>, step, arena, first, second);
}

std::size_t squares_partials() {
    return norm_blocks;
}

void squared_norm(const float* values, std::size_t size, double* partial, double* result,
                  cudaStream_t stream) {
    const unsigned blocks = std::clamp(blocks_for((size + 3) / 4, block), 1U, norm_blocks);
    launch(blocks, block, 0, stream, squares_kernel, values, size, partial);
    launch(1, block, 0, stream, join_squares_kernel, partial, blocks, result);
}

template void sgd(const SgdStep&, const Arena<float>&, float*, cudaStream_t);
template void sgd(const SgdStep&, const Arena<bf16>&, float*, cudaStream_t);
template void adamw(const AdamwStep&, const Arena<float>&, float*, float*, cudaStream_t);
template void adamw(const AdamwStep&, const Arena<bf16>&, float*, float*, cudaStream_t);

}  // namespace divs::kernels
