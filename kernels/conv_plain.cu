#include "conv.hpp"
#include "conv_bias.cuh"
#include "conv_plain.cuh"

namespace divs::kernels {

template <class T>
void conv_plain_gather(const Gather& g, const T* source, const T* weights, const Finish<T>& finish, T* target,
                       cudaStream_t stream) {
    const int tiles = ceil_div(g.most_rows(), plain_tile) * ceil_div(g.columns, plain_tile);
    const dim3 grid(static_cast<unsigned>(tiles), static_cast<unsigned>(g.phases_h * g.phases_w),
                    static_cast<unsigned>(g.groups));
    launch(grid, dim3(plain_threads), 0, stream, conv_plain_gather_kernel<T>, g, source, weights, finish,
           target);
}

template <class T>
void conv_plain_weights(const WeightGather& g, const T* input, const T* gradient, int splits, float* partial,
                        cudaStream_t stream) {
    const int tiles = ceil_div(g.group_k, plain_tile) * ceil_div(g.columns, plain_tile);
    const dim3 grid(static_cast<unsigned>(tiles), static_cast<unsigned>(g.shape.groups),
                    static_cast<unsigned>(splits));
    launch(grid, dim3(plain_threads), 0, stream, conv_plain_weights_kernel<T>, g, input, gradient, splits,
           partial);
}

template <class T>
void conv_bias_gradient(const T* gradient, std::size_t pixels, int channels, int shares, float* partial,
                        float* sums, cudaStream_t stream) {
    const int pitch = round_up(channels, channel_step);
    launch(dim3(static_cast<unsigned>(shares), static_cast<unsigned>(ceil_div(pitch, bias_channels<T>))),
           dim3(bias_threads), 0, stream, conv_bias_kernel<T>, gradient, pixels, pitch, partial);
    launch(dim3(static_cast<unsigned>(ceil_div(channels, 256))), dim3(256), 0, stream,
           conv_bias_reduce_kernel, partial, shares, pitch, channels, sums);
}

template void conv_plain_gather(const Gather&, const float*, const float*, const Finish<float>&, float*,
                                cudaStream_t);
template void conv_plain_gather(const Gather&, const bf16*, const bf16*, const Finish<bf16>&, bf16*,
                                cudaStream_t);
template void conv_plain_weights(const WeightGather&, const float*, const float*, int, float*, cudaStream_t);
template void conv_plain_weights(const WeightGather&, const bf16*, const bf16*, int, float*, cudaStream_t);
template void conv_bias_gradient(const float*, std::size_t, int, int, float*, float*, cudaStream_t);
template void conv_bias_gradient(const bf16*, std::size_t, int, int, float*, float*, cudaStream_t);

}  // namespace divs::kernels
