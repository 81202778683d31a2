#include "conv.hpp"
#include "conv_depthwise.cuh"

namespace divs::kernels {

template <class T>
void conv_depthwise_gather(const Gather& by_groups, int channels, int slots, const T* source, const float* weights,
                           const Finish<T>& finish, int shares, T* target, cudaStream_t stream) {
    Gather g = by_groups;  // written as if all channels were one group's
    g.columns = g.target_pitch;
    g.true_columns = channels;
    const std::size_t bytes = static_cast<std::size_t>(slots * depthwise_channels<T>) * sizeof(float);
    const dim3 grid(static_cast<unsigned>(shares), static_cast<unsigned>(g.phases_h * g.phases_w),
                    static_cast<unsigned>(ceil_div(g.target_pitch, depthwise_channels<T>)));
    launch(grid, dim3(depthwise_threads), bytes, stream, conv_depthwise_gather_kernel<T>, g, channels, slots,
           source, weights, finish, target);
}

template <class T>
void conv_depthwise_weights(const WeightGather& g, const T* input, const T* gradient, int shares,
                            float* partial, float* weight_gradient, cudaStream_t stream) {
    const int slots = g.shape.r * g.shape.s, pitch = g.shape.c_pitch();
    const dim3 grid(static_cast<unsigned>(shares),
                    static_cast<unsigned>(ceil_div(pitch, depthwise_channels<T>)),
                    static_cast<unsigned>(ceil_div(slots, depthwise_taps)));
    launch(grid, dim3(depthwise_threads), 0, stream, conv_depthwise_weights_kernel<T>, g, input, gradient,
           partial);
    launch(dim3(static_cast<unsigned>(ceil_div(slots * g.shape.c, 256))), dim3(256), 0, stream,
           conv_depthwise_reduce_kernel, g.shape.c, pitch, slots, partial, shares, weight_gradient);
}

template void conv_depthwise_gather(const Gather&, int, int, const float*, const float*, const Finish<float>&,
                                    int, float*, cudaStream_t);
template void conv_depthwise_gather(const Gather&, int, int, const bf16*, const float*, const Finish<bf16>&,
                                    int, bf16*, cudaStream_t);
template void conv_depthwise_weights(const WeightGather&, const float*, const float*, int, float*, float*,
                                     cudaStream_t);
template void conv_depthwise_weights(const WeightGather&, const bf16*, const bf16*, int, float*, float*,
                                     cudaStream_t);

}  // namespace divs::kernels
