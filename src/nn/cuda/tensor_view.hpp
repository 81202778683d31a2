// How the cuda backend lays a tensor out: (N, H, W, pitch) of float32 or bfloat16, densely, where pitch is C
// rounded up to a multiple of 8 elements, so that every pixel starts on 16 bytes (float32: 32) and one kernel
// source serves every channel count. The channels behind C are zero in every tensor: each operation writes
// them as zeros, and may rely on zeros in what it reads. A 3-channel input is thus 8 wide.
//
// A tensor without a Layout is plain: float32, (N, H, W, C) without padding. Only upload, download and copies
// take such; operations take what input_desc() and other operations' output() name.
#pragma once

#include <memory>

#include "divs/nn/tensor.hpp"

namespace divs::nn::cuda {

enum class DType : unsigned char { f32, bf16 };

inline constexpr int channel_step = 8;

constexpr std::size_t size_of(DType type) noexcept {
    return type == DType::f32 ? 4 : 2;
}
constexpr int pitch_of(int channels) noexcept {
    return (channels + channel_step - 1) / channel_step * channel_step;
}

struct DeviceLayout final : Layout {
    explicit DeviceLayout(DType t) : type(t) {}
    const DType type;
};

struct View {
    int n = 0, h = 1, w = 1, c = 1;
    int pitch = 1;  // elements from one pixel to the next
    DType type = DType::f32;

    std::size_t pixels() const noexcept {  // of the whole batch
        return static_cast<std::size_t>(n) * static_cast<std::size_t>(h) * static_cast<std::size_t>(w);
    }
    std::size_t size() const noexcept { return pixels() * static_cast<std::size_t>(pitch); }  // with padding
    std::size_t bytes() const noexcept { return size() * size_of(type); }
    friend bool operator==(const View&, const View&) = default;
};

inline const DeviceLayout* layout_of(const TensorDesc& desc) noexcept {
    return dynamic_cast<const DeviceLayout*>(desc.layout.get());
}

inline View view_of(const TensorDesc& desc) {
    const Shape& s = desc.shape;
    const DeviceLayout* layout = layout_of(desc);
    return layout ? View{s.n, s.h, s.w, s.c, pitch_of(s.c), layout->type}
                  : View{s.n, s.h, s.w, s.c, s.c, DType::f32};
}

inline TensorDesc make_desc(const Shape& shape, DType type) {
    return {shape, std::make_shared<DeviceLayout>(type)};
}

}  // namespace divs::nn::cuda
