#include "conv.hpp"
#include "conv_reduce.cuh"
#include "conv_weights.cuh"

namespace divs::kernels {
namespace {

template <class T, class Tile>
void launch_weights(const WeightGather& g, const T* input, const T* gradient, int splits, float* partial,
                    cudaStream_t stream) {
    const int tiles = ceil_div(g.group_k, Tile::rows) * ceil_div(g.columns, Tile::columns);
    const dim3 grid(static_cast<unsigned>(tiles), static_cast<unsigned>(g.shape.groups),
                    static_cast<unsigned>(splits));
    allow_shared(conv_weights_kernel<T, Tile>, Tile::shared_bytes);
    launch(grid, dim3(Tile::threads), Tile::shared_bytes, stream, conv_weights_kernel<T, Tile>, g, input,
           gradient, splits, partial);
}

template <class T, int Weights>
void launch_reduce(const WeightGather& g, const T* partial, int splits, float* gradient,
                   cudaStream_t stream) {
    const int shared = Weights * g.shape.r * g.shape.s * static_cast<int>(sizeof(float));
    allow_shared(conv_reduce_kernel<T, Weights>, shared);
    launch(dim3(static_cast<unsigned>(g.shape.groups * g.group_k),
                static_cast<unsigned>(ceil_div(g.group_c, Weights))),
           dim3(reduce_threads), static_cast<std::size_t>(shared), stream, conv_reduce_kernel<T, Weights>, g,
           partial, splits, gradient);
}

template <class T>
using Large = WeightTile<T, 128, 128, 2, 4, 3>;
template <class T>
using Small = WeightTile<T, 64, 64, 2, 2, 4>;

unsigned blocks_of(std::size_t threads) {
    return static_cast<unsigned>((threads + 255) / 256);
}

}  // namespace

TileSize weight_tile(int variant) {
    return variant == 0 ? TileSize{Large<bf16>::rows, Large<bf16>::columns}
                        : TileSize{Small<bf16>::rows, Small<bf16>::columns};
}

template <class T>
void conv_weights(int variant, const WeightGather& g, const T* input, const T* gradient, int splits,
                  float* partial, cudaStream_t stream) {
    if (variant == 0)
        launch_weights<T, Large<T>>(g, input, gradient, splits, partial, stream);
    else
        launch_weights<T, Small<T>>(g, input, gradient, splits, partial, stream);
}

template <class T>
void conv_reduce(const WeightGather& g, const T* partial, int splits, float* gradient, cudaStream_t stream) {
    if (g.shape.r * g.shape.s == 1)
        launch_reduce<T, reduce_threads>(g, partial, splits, gradient, stream);
    else
        launch_reduce<T, 32>(g, partial, splits, gradient, stream);
}

template <class T>
void conv_pack(const ConvShape& x, bool transposed, const float* master, T* packed, cudaStream_t stream) {
    const int size = (transposed ? x.c * x.group_k() : x.k * x.group_c()) * x.r * x.s;
    launch(dim3(blocks_of(static_cast<std::size_t>(size))), dim3(256), 0, stream, conv_pack_kernel<T>, x,
           transposed, master, packed);
}

template void conv_weights(int, const WeightGather&, const float*, const float*, int, float*, cudaStream_t);
template void conv_weights(int, const WeightGather&, const bf16*, const bf16*, int, float*, cudaStream_t);
template void conv_reduce(const WeightGather&, const float*, int, float*, cudaStream_t);
template void conv_reduce(const WeightGather&, const bf16*, int, float*, cudaStream_t);
template void conv_pack(const ConvShape&, bool, const float*, float*, cudaStream_t);
template void conv_pack(const ConvShape&, bool, const float*, bf16*, cudaStream_t);

}  // namespace divs::kernels
