// 3x3 convolutions of stride 1 by Winograd's algorithm: 4 times fewer multiplications than the direct way.
// oneDNN has it for AVX-512 only, and not in its version 3.
#pragma once

#include "direction.hpp"
#include "divs/nn/operations.hpp"
#include "operation.hpp"

namespace divs::nn::cpu {

// A convolution in one direction. Activations in the kernels' blocks of channels, weights (O, I, 3, 3).
class Winograd {
  public:
    // 4x4 pixels each, of all images.
    static std::size_t tiles(const View& out);
    static bool fits(const Conv2d& op, const View& in, const View& out, Direction direction,
                     const Kernels& kernels);
    Winograd(const Conv2d& op, const View& in, const View& out, Direction direction, const Environment& env);

    std::size_t workspace_bytes() const noexcept;
    // in and out as the direction has them: input or its gradient, output or its gradient. weights: read, or
    // their gradient written in backward_weights. finish: forward.
    void run(float* in, float* weights, float* out, float* workspace, const Finish& finish) const;

  private:
    struct Work {  // one chunk of tiles in the making
        float *v, *m;
    };
    struct Range {
        std::size_t begin, end;
    };

    void convolve(const float* source, const float* weights, float* target, float* workspace,
                  Finish finish) const;
    void differentiate(const float* in, const float* out, float* gradients, float* workspace) const;
    void pack_weights(const float* weights, float* u) const;
    void unpack_gradients(const float* u, float* gradients) const;
    void gather_sources(const float* source, Work work, Range chunk, Range tiles) const;
    void multiply(const float* u, Work work, Range chunk, Range numbers) const;
    void scatter_targets(Work work, float* target, const Finish& finish, Range chunk, Range tiles) const;
    void gather_targets(const float* target, Work work, Range chunk, Range tiles) const;
    void accumulate_gradients(Work work, float* u, Range chunk, Range numbers) const;
    std::size_t u_stride() const;  // floats between two of the 36 numbers: of weights, sources, targets
    std::size_t v_stride() const;
    std::size_t m_stride() const;
    float* panel(float* base, std::size_t block, std::size_t rows) const;
    WinogradTile tile_at(std::size_t tile, const View& view, int offset) const;

    Direction direction_;
    View source_, target_;  // in and out, exchanged in backward_data
    int pad_h_, pad_w_;     // of the source
    int threads_;
    const WinogradKernels& kernels_;
    std::size_t lanes_, tiles_h_, tiles_w_, tiles_, chunk_, chunks_at_once_;
};

}  // namespace divs::nn::cpu
