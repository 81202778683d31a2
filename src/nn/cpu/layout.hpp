// How the cpu backend lays a tensor out: (N, C / block, H, W, block), channels padded with zeros to whole
// blocks. Block 1 is NCHW; without a Layout the block is all channels, which is NHWC. Every loop of the
// backend is written over this one description, so that nothing is reordered inside a network.
#pragma once

#include <memory>

#include "divs/nn/tensor.hpp"

namespace divs::nn::cpu {

struct BlockedLayout final : Layout {
    explicit BlockedLayout(int channels) : block(channels) {}
    const int block;
};

struct View {
    int n = 0, h = 1, w = 1, c = 1;
    int blocks = 1, block = 1;

    std::size_t pixels() const noexcept { return static_cast<std::size_t>(h) * static_cast<std::size_t>(w); }
    std::size_t lanes() const noexcept { return static_cast<std::size_t>(block); }
    std::size_t plane() const noexcept {
        return pixels() * lanes();
    }  // elements of one (n, block of channels)
    std::size_t planes() const noexcept {
        return static_cast<std::size_t>(n) * static_cast<std::size_t>(blocks);
    }
    std::size_t row() const noexcept {
        return static_cast<std::size_t>(blocks) * plane();
    }                                                                 // elements of one n
    std::size_t size() const noexcept { return planes() * plane(); }  // padding included
    std::size_t padded_channels() const noexcept { return static_cast<std::size_t>(blocks) * lanes(); }
    std::size_t channels() const noexcept { return static_cast<std::size_t>(c); }
    friend bool operator==(const View&, const View&) = default;
};

inline int block_of(const TensorDesc& desc) {
    const auto* layout = dynamic_cast<const BlockedLayout*>(desc.layout.get());
    return layout ? layout->block : desc.shape.c;
}

inline View view_of(const Shape& s, int block) {
    return {s.n, s.h, s.w, s.c, (s.c + block - 1) / block, block};
}
inline View view_of(const TensorDesc& desc) {
    return view_of(desc.shape, block_of(desc));
}

inline TensorDesc make_desc(const Shape& shape, int block) {
    if (block == shape.c) return {shape, nullptr};
    return {shape, std::make_shared<BlockedLayout>(block)};
}

}  // namespace divs::nn::cpu
