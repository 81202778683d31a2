// The inner loops of the cpu backend. They are compiled once for each instruction set (kernels_*.cpp) and
// chosen when the program runs. All work on contiguous memory: `pixels` rows of `lanes` channels, per-channel
// arguments of `lanes` values.
#pragma once

#include <cstddef>
#include <cstdint>

namespace divs::nn::cpu {

enum class Curve : int { none, relu, relu6 };

// A window of a pool, clipped to the image: taps (h, w) in [h0, h1) x [w0, w1).
struct PoolWindow {
    int h0, h1, w0, w1;
};

struct SgdStep {
    float rate, scale, decay, momentum;
    bool nesterov;
};

struct AdamwStep {
    float rate, scale, decay, beta1, rest1, beta2, rest2, epsilon;  // rest = 1 - beta, rounded once
    float correction1, correction2;  // 1 / (1 - beta1^t), 1 / sqrt(1 - beta2^t)
};

// Where a tile of Winograd's algorithm starts in an image; it may reach beyond the image on every side.
struct WinogradTile {
    int y, x, height, width;
};

// What follows the sums of a convolution: + bias, + residual, the curve.
struct Finish {
    const float* bias = nullptr;      // by channel, or null
    const float* residual = nullptr;  // laid out like the output, or null
    Curve curve = Curve::none;
};

// F(4x4, 3x3) on the kernels' block of channels ("lanes"). The 36 numbers of a tile lie `stride` floats
// apart; a panel is one or two blocks of output channels side by side.
struct WinogradKernels {
    void (*input)(const float* image, const WinogradTile& tile, float* v, std::size_t stride);  // 6x6 pixels
    void (*output)(const float* m, std::size_t stride, float* image, const WinogradTile& tile,
                   const Finish& finish);  // 4x4 pixels
    void (*output_gradient)(const float* image, const WinogradTile& tile, float* m, std::size_t stride);
    void (*weights)(const float* taps, float* u, std::size_t stride);  // (9, lanes)
    void (*weights_gradient)(const float* u, std::size_t stride, float* taps);
    // m (tiles, panel) = v (blocks, tiles, lanes) u (blocks x lanes, panel); [0]: panels of one block, [1]:
    // of two.
    void (*product[2])(const float* v, std::size_t block_stride, std::size_t blocks, const float* u, float* m,
                       std::size_t tiles);
    // u (lanes, panel) (+)= v (tiles, lanes)^T m (tiles, panel).
    void (*product_gradient[2])(const float* v, const float* m, std::size_t tiles, float* u, bool add);
};

struct Kernels {
    const char* name;
    int block;  // channels a block that suit the vectors

    // Adds sum(x - shift) and sum((x - shift)^2) by channel.
    void (*norm_measure)(const float* x, std::size_t pixels, std::size_t lanes, const float* shift,
                         double* sum, double* square);
    // y = curve(x scale + offset (+ residual)).
    void (*norm_apply)(const float* x, const float* residual, float* y, std::size_t pixels, std::size_t lanes,
                       const float* scale, const float* offset, Curve curve);
    // With g = dy where the curve is not flat at y: adds sum(g) and sum(g (x - mean)) by channel.
    void (*norm_sums)(const float* x, const float* y, const float* dy, std::size_t pixels, std::size_t lanes,
                      const float* mean, Curve curve, double* sum, double* product);
    // dx = a g + b (x - mean) + c, dr = g; either may be null.
    void (*norm_gradient)(const float* x, const float* y, const float* dy, float* dx, float* dr,
                          std::size_t pixels, std::size_t lanes, const float* mean, const float* a,
                          const float* b, const float* c, Curve curve);

    // y = curve(x1 + x2), x2 may be null.
    void (*add)(const float* x1, const float* x2, float* y, std::size_t n, Curve curve);
    // dx = dy where the curve is not flat at y.
    void (*curve_gradient)(const float* y, const float* dy, float* dx, std::size_t n, Curve curve);
    void (*accumulate)(const float* x, float* y, std::size_t n);                // y += x
    void (*scale)(const float* x, float* y, std::size_t n, float factor);       // y = x factor
    void (*add_scaled)(const float* x, float* y, std::size_t n, float factor);  // y += x factor

    // One output pixel of a pool over an image `width` pixels wide. `tap` receives the winner's number, row
    // by row of the whole kernel from `first_tap`, `kernel_w` a row.
    void (*max_pool)(const float* image, std::size_t width, std::size_t lanes, PoolWindow window,
                     int kernel_w, int first_tap, float* y, std::uint16_t* tap);
    void (*max_pool_gradient)(float* image, std::size_t width, std::size_t lanes, PoolWindow window,
                              int kernel_w, int first_tap, const float* dy, const std::uint16_t* tap);
    void (*average_pool)(const float* image, std::size_t width, std::size_t lanes, PoolWindow window,
                         float* y);
    void (*average_pool_gradient)(float* image, std::size_t width, std::size_t lanes, PoolWindow window,
                                  const float* dy);

    void (*sgd)(const SgdStep& step, float* parameters, const float* gradients, float* velocity,
                std::size_t n);
    void (*adamw)(const AdamwStep& step, float* parameters, const float* gradients, float* first,
                  float* second, std::size_t n);
    double (*squares)(const float* x, std::size_t n);  // sum of squares

    WinogradKernels winograd;
};

const Kernels& generic_kernels();
const Kernels& avx2_kernels();
const Kernels& avx512_kernels();

// The best that this processor runs, or at most what the environment's DIVS_CPU_ISA names: avx512, avx2 or
// generic.
const Kernels& kernels();

}  // namespace divs::nn::cpu
