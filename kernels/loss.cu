#include "block.hpp"
#include "loss.hpp"
#include "vector.hpp"

namespace divs::kernels {
namespace {

constexpr int block = 128;

// The largest of a row and where it first stands, over a warp.
__device__ void warp_largest(float& value, int& at) {
#pragma unroll
    for (int step = 16; step > 0; step /= 2) {
        const float other = __shfl_xor_sync(all_lanes, value, step);
        const int other_at = __shfl_xor_sync(all_lanes, at, step);
        if (other > value || (other == value && other_at < at)) {
            value = other;
            at = other_at;
        }
    }
}

// A warp a row. Double: logits are few, and every rank must agree on the loss.
template <class T>
__global__ void __launch_bounds__(block)
    rows_kernel(const T* __restrict__ logits, LossShape s, const std::int32_t* __restrict__ labels,
                const float* __restrict__ class_weights, T* __restrict__ gradient,
                LossRow* __restrict__ each) {
    const int row = static_cast<int>(blockIdx.x * (block / 32) + threadIdx.x / 32);
    const int lane = static_cast<int>(threadIdx.x % 32);
    if (row >= s.rows) return;
    const T* x = logits + static_cast<std::size_t>(row) * s.pitch;
    const int label = labels[row];
    float largest = -INFINITY;
    int largest_at = s.classes;
    for (int k = lane; k < s.classes; k += 32)
        if (const float v = to_float(x[k]); v > largest) {
            largest = v;
            largest_at = k;
        }
    warp_largest(largest, largest_at);

    double normaliser = 0;
    for (int k = lane; k < s.classes; k += 32)
        normaliser += exp(static_cast<double>(to_float(x[k])) - static_cast<double>(largest));
    normaliser = warp_sum(normaliser);
    const double log_normaliser = log(normaliser), smoothing = static_cast<double>(s.smoothing);
    const double spread = smoothing / s.classes;
    double mass = 0, loss = 0;
    for (int k = lane; k < s.classes; k += 32) {
        const double target =
            static_cast<double>(class_weights[k]) * (spread + (k == label ? 1 - smoothing : 0));
        mass += target;
        if (target > 0)
            loss -= target *
                    (static_cast<double>(to_float(x[k])) - static_cast<double>(largest) - log_normaliser);
    }
    mass = warp_sum(mass);
    loss = warp_sum(loss);
    if (!isfinite(normaliser)) loss = normaliser;
    if (gradient)
        for (int k = lane; k < s.pitch; k += 32) {
            double g = 0;
            if (k < s.classes) {
                const double share =
                    exp(static_cast<double>(to_float(x[k])) - static_cast<double>(largest) - log_normaliser);
                g = mass * share -
                    static_cast<double>(class_weights[k]) * (spread + (k == label ? 1 - smoothing : 0));
            }
            gradient[static_cast<std::size_t>(row) * s.pitch + k] = from_float<T>(static_cast<float>(g));
        }
    if (lane == 0)
        each[row] = {loss, static_cast<double>(class_weights[label]), largest_at == label,
                     isfinite(loss) ? 1 : 0};
}

// One block adds the rows up, in one order.
__global__ void __launch_bounds__(block)
    totals_kernel(const LossRow* __restrict__ each, int rows, LossTotals* totals) {
    __shared__ LossTotals parts[block];
    LossTotals mine{0, 0, 0, -1};
    for (int row = static_cast<int>(threadIdx.x); row < rows; row += block) {
        mine.loss += each[row].loss;
        mine.weight += each[row].weight;
        mine.correct += each[row].correct;
        if (!each[row].finite && mine.first_not_finite < 0) mine.first_not_finite = row;
    }
    parts[threadIdx.x] = mine;
    __syncthreads();
    if (threadIdx.x != 0) return;
    for (int i = 1; i < block; ++i) {
        mine.loss += parts[i].loss;
        mine.weight += parts[i].weight;
        mine.correct += parts[i].correct;
        const std::int64_t bad = parts[i].first_not_finite;
        if (bad >= 0 && (mine.first_not_finite < 0 || bad < mine.first_not_finite))
            mine.first_not_finite = bad;
    }
    *totals = mine;
}

__global__ void __launch_bounds__(32)
    sums_kernel(const LossTotals* totals, HostNumbers more, StepSums* sums) {
    if (threadIdx.x != 0) return;
    const LossTotals mine = totals ? *totals : LossTotals{0, 0, 0, -1};
    const bool bad = mine.first_not_finite >= 0 || !isfinite(mine.loss);
    StepSums all;
    all.values[StepSums::loss] = bad ? 0 : mine.loss;
    all.values[StepSums::weight] = mine.weight;
    all.values[StepSums::correct] = static_cast<double>(mine.correct);
    all.values[StepSums::not_finite] = bad;
    for (int i = StepSums::more; i < StepSums::most; ++i) all.values[i] = more.values[i - StepSums::more];
    all.first_not_finite = mine.first_not_finite;
    *sums = all;
}

}  // namespace

template <class T>
void cross_entropy(const T* logits, const LossShape& shape, const std::int32_t* labels,
                   const float* class_weights, T* gradient, LossRow* each, LossTotals* totals,
                   cudaStream_t stream) {
    if (shape.rows > 0)
        launch(blocks_for(static_cast<std::size_t>(shape.rows), block / 32), block, 0, stream, rows_kernel<T>,
               logits, shape, labels, class_weights, gradient, each);
    launch(1, block, 0, stream, totals_kernel, each, shape.rows, totals);
}

void step_sums(const LossTotals* totals, const HostNumbers& more, StepSums* sums, cudaStream_t stream) {
    launch(1, 32, 0, stream, sums_kernel, totals, more, sums);
}

template void cross_entropy(const float*, const LossShape&, const std::int32_t*, const float*, float*,
                            LossRow*, LossTotals*, cudaStream_t);
template void cross_entropy(const bf16*, const LossShape&, const std::int32_t*, const float*, bf16*, LossRow*,
                            LossTotals*, cudaStream_t);

}  // namespace divs::kernels
