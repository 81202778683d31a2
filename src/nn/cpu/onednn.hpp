// What DIVS uses of oneDNN, in its own words. The interface of oneDNN 3 differs from that of 2; onednn.cpp is
// the only file that knows either.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>

#include "direction.hpp"
#include "divs/nn/operations.hpp"
#include "layout.hpp"

namespace divs::nn::cpu::onednn {

enum class Algorithm { direct, winograd };

struct ConvolutionProblem {
    Conv2d op;
    Shape in, out;
    // Channels a block; 0: oneDNN chooses, where nothing is added to the output.
    int in_block = 0, out_block = 0;
};

// A convolution in one direction, forward with all that its op adds. Planned for the threads of the calling
// thread at that moment.
class Convolution {
  public:
    // Nothing where oneDNN has no such convolution.
    static std::optional<Convolution> plan(const ConvolutionProblem& problem, Direction direction,
                                           Algorithm algorithm);
    Convolution(Convolution&&) noexcept;
    Convolution& operator=(Convolution&&) noexcept;
    ~Convolution();

    // The layouts it reads and writes: the ones asked for, or oneDNN's choice. 0: a layout that View cannot
    // describe.
    int in_block() const noexcept;
    int out_block() const noexcept;
    std::string implementation() const;  // oneDNN's name of it, "ref..." where it has no fast one

    std::size_t weights_bytes() const noexcept;  // in its own layout
    std::size_t scratchpad_bytes() const noexcept;

    // Between (O, I / groups, H, W) and its own layout of the weights, `packed`.
    void pack(const float* weights, float* packed) const;
    void unpack(const float* packed, float* weights) const;

    // in: input, or its gradient in backward_data; out: output, or its gradient backwards. Both with 64 byte
    // alignment. bias: null without; its gradient in backward_weights. residual: null without; laid out like
    // out.
    void run(float* in, float* packed, float* bias, const float* residual, float* out,
             float* scratchpad) const;

  private:
    struct Impl;
    explicit Convolution(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

// Copies between two layouts of one shape, and zeroes the padding of the target.
void reorder(const View& from, const float* source, const View& to, float* target);

// C = A B (+ C), row-major, A (m, k) or its transpose, B (k, n) or its transpose.
void gemm(bool transpose_a, bool transpose_b, int m, int n, int k, const float* a, int lda, const float* b,
          int ldb, bool add, float* c, int ldc);

std::string version();

}  // namespace divs::nn::cpu::onednn
