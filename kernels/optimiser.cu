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
__global__ void __launch_bounds__(block) sgd_kernel(SgdStep step, const GradientScale* __restrict__ scale,
                                                    Arena<T> arena, float* __restrict__ velocity) {
    const std::size_t at = (static_cast<std::size_t>(blockIdx.x) * block + threadIdx.x) * 4;
    const float factor = scale->factor;
    if (at >= arena.size || factor == 0) return;
    const ArenaLine line = arena.lines[at / 16];
    if (line.frozen) return;
    const float decay = line.decays ? step.decay : 0.0F;
    float p[4], g[4], v[4];
    load(arena.parameters + at, p);
    load(arena.gradients + at, g);
    if (Velocity) load(velocity + at, v);
#pragma unroll
    for (int k = 0; k < 4; ++k) {
        g[k] = factor * g[k] + decay * p[k];
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
    adamw_kernel(AdamwStep s, const GradientScale* __restrict__ scale, Arena<T> arena,
                 float* __restrict__ first, float* __restrict__ second) {
    const std::size_t at = (static_cast<std::size_t>(blockIdx.x) * block + threadIdx.x) * 4;
    const float factor = scale->factor;
    if (at >= arena.size || factor == 0) return;
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
        g[k] *= factor;
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
    scale_kernel(const double* __restrict__ partial, unsigned count, GradientWeight given, double clip_norm,
                 GradientScale* scale) {
    double sum = 0;
    for (unsigned i = threadIdx.x; i < count; i += block) sum += partial[i];
    sum = block_sum<block>(sum);
    if (threadIdx.x != 0) return;
    const StepSums* const sums = given.queued;
    const double weight = !sums                                    ? given.known
                          : sums->values[StepSums::not_finite] > 0 ? 0
                                                                   : sums->values[StepSums::weight];
    const double norm = weight > 0 ? sqrt(sum) / weight : 0;
    double factor = 0;
    if (weight > 0 && isfinite(norm))
        factor = clip_norm > 0 && norm > clip_norm ? clip_norm / norm / weight : 1 / weight;
    *scale = {norm, static_cast<float>(factor)};
}

}  // namespace

template <class T>
void sgd(const SgdStep& step, const GradientScale* scale, const Arena<T>& arena, float* velocity,
         cudaStream_t stream) {
    if (arena.size == 0) return;
    launch(blocks_for(arena.size / 4, block), block, 0, stream,
           velocity ? sgd_kernel<T, true> : sgd_kernel<T, false>, step, scale, arena, velocity);
}

template <class T>
void adamw(const AdamwStep& step, const GradientScale* scale, const Arena<T>& arena, float* first,
           float* second, cudaStream_t stream) {
    if (arena.size == 0) return;
    launch(blocks_for(arena.size / 4, block), block, 0, stream, adamw_kernel<T>, step, scale, arena, first,
           second);
}

std::size_t squares_partials() {
    return norm_blocks;
}

void gradient_scale(const float* gradients, std::size_t size, GradientWeight weight, double clip_norm,
                    double* partial, GradientScale* scale, cudaStream_t stream) {
    const unsigned blocks = std::clamp(blocks_for((size + 3) / 4, block), 1U, norm_blocks);
    launch(blocks, block, 0, stream, squares_kernel, gradients, size, partial);
    launch(1, block, 0, stream, scale_kernel, partial, blocks, weight, clip_norm, scale);
}

template void sgd(const SgdStep&, const GradientScale*, const Arena<float>&, float*, cudaStream_t);
template void sgd(const SgdStep&, const GradientScale*, const Arena<bf16>&, float*, cudaStream_t);
template void adamw(const AdamwStep&, const GradientScale*, const Arena<float>&, float*, float*,
                    cudaStream_t);
template void adamw(const AdamwStep&, const GradientScale*, const Arena<bf16>&, float*, float*, cudaStream_t);

}  // namespace divs::kernels
