// Launchers of the convolution kernels. T: float or bf16; tensors as conv_geometry.hpp has them, weights
// packed by conv_pack. None allocates or waits. Kernels that exist in several tile sizes have variants,
// numbered from 0.
#pragma once

#include <cuda_runtime_api.h>

#include "bf16.hpp"
#include "conv_boxes.hpp"

namespace divs::kernels {

inline constexpr int gather_variants = 3, weight_variants = 2;              // mma.sync
inline constexpr int group_gather_variants = 4, group_weight_variants = 4;  // wgmma, bf16 only
struct TileSize {
    int rows, columns;
};
TileSize gather_tile(int variant);
TileSize weight_tile(int variant);
TileSize group_gather_tile(int variant);
TileSize group_weight_tile(int variant);
// How the blocks of conv_weights_group() share out its steps, of 64 pixels each, and the number of partial
// sums that they leave.
StepShares group_weight_shares(int variant, const WeightGather& g, int blocks);
int group_weight_parts(int variant, const WeightGather& g, int blocks);

// Forward and backward-data: tensor cores (float: TF32 products), and plain float32 arithmetic.
template <class T>
void conv_gather(int variant, const Gather& g, const T* source, const T* weights, const Finish<T>& finish,
                 T* target, cudaStream_t stream);
template <class T>
void conv_plain_gather(const Gather& g, const T* source, const T* weights, const Finish<T>& finish, T* target,
                       cudaStream_t stream);

// Backward-weights: `splits` partial sums of weight_partial_size() floats each, which conv_reduce adds up.
constexpr std::size_t weight_partial_size(const WeightGather& g) {
    return static_cast<std::size_t>(g.shape.groups * g.group_k) * static_cast<std::size_t>(g.columns);
}
template <class T>
void conv_weights(int variant, const WeightGather& g, const T* input, const T* gradient, int splits,
                  float* partial, cudaStream_t stream);
template <class T>
void conv_plain_weights(const WeightGather& g, const T* input, const T* gradient, int splits, float* partial,
                        cudaStream_t stream);
template <class T>  // of the partial sums
void conv_reduce(const WeightGather& g, const T* partial, int splits, float* gradient, cudaStream_t stream);

// The same on sm_90a.
void conv_gather_group(int variant, const Gather& g, const bf16* source, const bf16* weights,
                       const Finish<bf16>& finish, int multiprocessors, bf16* target, cudaStream_t stream);
void conv_weights_group(int variant, const WeightGather& g, const bf16* input, const bf16* gradient,
                        int blocks, float* partial, cudaStream_t stream);
// Whether the tensor copy engine can fetch what these need.
bool conv_group_takes(const ConvShape& shape);

// Depthwise; weights and their gradient are the master's, (C, 1, R, S) float32. partial: `shares` x slots x
// pitch.
template <class T>
void conv_depthwise_gather(const Gather& g, int channels, int slots, const T* source, const float* weights,
                           const Finish<T>& finish, int shares, T* target, cudaStream_t stream);
template <class T>
void conv_depthwise_weights(const WeightGather& g, const T* input, const T* gradient, int shares,
                            float* partial, float* weight_gradient, cudaStream_t stream);

// First layers of 3 channels, stride 2, 7x7 or 3x3; partial: `blocks` x weight_partial_size().
bool conv_first_takes(const ConvShape& shape);
void conv_first(const ConvShape& shape, const bf16* input, const bf16* weights, const Finish<bf16>& finish,
                int blocks, bf16* target, cudaStream_t stream);
void conv_first_weights(const ConvShape& shape, const bf16* input, const bf16* gradient, int blocks,
                        float* partial, cudaStream_t stream);

// Packs OIHW float32 into krsc or, transposed, crsk.
template <class T>
void conv_pack(const ConvShape& shape, bool transposed, const float* master, T* packed, cudaStream_t stream);

// For each channel the sum over `pixels`; partial: `shares` x pitch floats.
template <class T>
void conv_bias_gradient(const T* gradient, std::size_t pixels, int channels, int shares, float* partial,
                        float* sums, cudaStream_t stream);

}  // namespace divs::kernels
