#include "conv.hpp"
#include "conv_first.cuh"

namespace divs::kernels {
namespace {

template <int R, int S>
void launch_first(const ConvShape& shape, const bf16* input, const bf16* weights, const Finish<bf16>& finish,
                  int blocks, bf16* target, cudaStream_t stream) {
    using Layer = FirstLayer<R, S>;
    const dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(ceil_div(shape.k, Layer::columns)));
    allow_shared(conv_first_kernel<R, S>, Layer::shared_bytes);
    launch(grid, dim3(Layer::threads), Layer::shared_bytes, stream, conv_first_kernel<R, S>,
           forward_gather(shape), weight_gather(shape), input, weights, finish, target);
}

template <int R, int S>
void launch_first_weights(const ConvShape& shape, const bf16* input, const bf16* gradient, int blocks,
                          float* partial, cudaStream_t stream) {
    using Layer = FirstLayer<R, S>;
    const dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(ceil_div(shape.k, Layer::columns)));
    allow_shared(conv_first_weights_kernel<R, S>, Layer::weight_shared_bytes);
    launch(grid, dim3(Layer::weight_threads), Layer::weight_shared_bytes, stream,
           conv_first_weights_kernel<R, S>, weight_gather(shape), input, gradient, partial);
}

}  // namespace

bool conv_first_takes(const ConvShape& x) {
    return x.c == 3 && x.groups == 1 && x.stride_h == 2 && x.stride_w == 2 && x.dilation_h == 1 &&
           x.dilation_w == 1 && x.shift == 0 && x.r == x.s && (x.r == 7 || x.r == 3);
}

void conv_first(const ConvShape& shape, const bf16* input, const bf16* weights, const Finish<bf16>& finish,
                int blocks, bf16* target, cudaStream_t stream) {
    if (shape.r == 7)
        launch_first<7, 7>(shape, input, weights, finish, blocks, target, stream);
    else
        launch_first<3, 3>(shape, input, weights, finish, blocks, target, stream);
}

void conv_first_weights(const ConvShape& shape, const bf16* input, const bf16* gradient, int blocks,
                        float* partial, cudaStream_t stream) {
    if (shape.r == 7)
        launch_first_weights<7, 7>(shape, input, gradient, blocks, partial, stream);
    else
        launch_first_weights<3, 3>(shape, input, gradient, blocks, partial, stream);
}

}  // namespace divs::kernels
