// Where a convolution reads and writes: plain constexpr arithmetic that the kernels use and that is tested
// without them. Tensors are NHWC with channels rounded up to a pitch; the channels behind the last are zero.
//
// Forward and backward-data are one form, a gather: each target pixel adds up, over taps of the kernel and
// channels of a source, source value x weight. Backward-data of a strided convolution is one such form, a
// *phase*, for each remainder of the target's position by the stride; a phase meets only the taps that reach
// it, and they form an arithmetic progression along each axis.
#pragma once

#include <cstdint>

namespace divs::kernels {

inline constexpr int channel_step = 8;  // pitches are multiples of it
inline constexpr int most_phases = 8;   // strides up to this many, along each axis

constexpr int round_up(int n, int step) {
    return (n + step - 1) / step * step;
}
constexpr int ceil_div(int n, int d) {
    return (n + d - 1) / d;
}

// n / d by a multiplication, for n < 2^31 (Granlund, Montgomery, PLDI 1994).
struct Divider {
    std::uint32_t divisor = 1, multiplier = 1U << 31;
    int shift = 31;

    Divider() = default;
    constexpr explicit Divider(int d) : divisor(static_cast<std::uint32_t>(d)) {
        int bits = 0;
        while ((std::uint64_t{1} << bits) < divisor) ++bits;
        shift = 31 + bits;
        multiplier = static_cast<std::uint32_t>(((std::uint64_t{1} << shift) + divisor - 1) / divisor);
    }
    constexpr int quotient(int n) const {
        return static_cast<int>((static_cast<std::uint64_t>(static_cast<std::uint32_t>(n)) * multiplier) >>
                                shift);
    }
    constexpr int remainder(int n, int q) const { return n - q * static_cast<int>(divisor); }
};

struct ConvShape {
    int n = 1, h = 1, w = 1, c = 1;  // input
    int k = 1, r = 1, s = 1;         // output channels, kernel
    int stride_h = 1, stride_w = 1, pad_h = 0, pad_w = 0, dilation_h = 1, dilation_w = 1, groups = 1;
    int frames = 1,
        shift = 0;  // images a clip; channels taken from the next frame, and as many from the last

    constexpr int p() const { return (h + 2 * pad_h - dilation_h * (r - 1) - 1) / stride_h + 1; }
    constexpr int q() const { return (w + 2 * pad_w - dilation_w * (s - 1) - 1) / stride_w + 1; }
    constexpr int c_pitch() const { return round_up(c, channel_step); }
    constexpr int k_pitch() const { return round_up(k, channel_step); }
    // Channels of one group as weights have them: rounded up where there is one group, for then the reading
    // of a whole pixel may run into the zeros behind it.
    constexpr int group_c() const { return groups == 1 ? c_pitch() : c / groups; }
    constexpr int group_k() const { return groups == 1 ? k_pitch() : k / groups; }
};

// One phase along one axis: position i of it is target i * target_step + target_first, and tap t of it reads
// source i * step + first + t * pitch (where that lies in the source) by kernel row slot + t * slot_step.
struct Axis {
    int positions = 0, source = 0;
    int step = 1, first = 0, pitch = 0;
    int taps = 0, slot = 0, slot_step = 1;
    int target_first = 0, target_step = 1;
    Divider by_positions, by_taps;
};

constexpr Axis finish(Axis a) {
    a.by_positions = Divider(a.positions > 0 ? a.positions : 1);
    a.by_taps = Divider(a.taps > 0 ? a.taps : 1);
    return a;
}

constexpr Axis forward_axis(int source, int target, int kernel, int stride, int pad, int dilation) {
    Axis a;
    a.positions = target;
    a.source = source;
    a.step = stride;
    a.first = -pad;
    a.pitch = dilation;
    a.taps = kernel;
    return finish(a);
}

// source: the gradient of the convolution's output, target: of its input; phase < stride.
constexpr Axis backward_axis(int source, int target, int kernel, int stride, int pad, int dilation,
                             int phase) {
    Axis a;
    a.target_first = phase;
    a.target_step = stride;
    a.positions = phase < target ? (target - phase + stride - 1) / stride : 0;
    a.source = source;
    // Tap r reads (phase + pad - r * dilation) / stride + i where that is whole: every slot_step-th tap.
    int first = -1;
    for (int r = 0; r < kernel; ++r) {
        if ((phase + pad - r * dilation) % stride != 0) continue;
        if (first < 0) {
            first = r;
            a.slot = r;
            a.first = (phase + pad - r * dilation) / stride;
        } else if (a.taps == 1) {
            a.slot_step = r - first;
            a.pitch = -(r - first) * dilation / stride;
        }
        ++a.taps;
    }
    return finish(a);
}

// What a gather kernel gets, by value.
struct Gather {
    int images = 0, frames = 1;
    Divider by_frames;
    Axis h[most_phases], w[most_phases];
    int phases_h = 1, phases_w = 1;
    int groups = 1;
    int reduced = 0, source_pitch = 0;  // channels summed over in a group; elements a source pixel
    int columns = 0, target_pitch = 0;  // channels written in a group; elements a target pixel
    int true_columns = 0;               // those that weights exist for
    int target_h = 0, target_w = 0;
    int slots_w = 1;                  // the kernel's width: slot of tap (i, j) is row * slots_w + column
    int weight_pitch = 0;             // elements of one column's weights: R * S * reduced
    int shift_in = 0, shift_out = 0;  // channels shifted in time when read (forward) or written (backward)

    constexpr int rows(int phase_h, int phase_w) const {
        return images * h[phase_h].positions * w[phase_w].positions;
    }
    constexpr int most_rows() const { return rows(0, 0); }  // no phase is longer than the first
};

constexpr Gather forward_gather(const ConvShape& x) {
    Gather g;
    g.images = x.n;
    g.frames = x.frames;
    g.by_frames = Divider(x.frames);
    g.h[0] = forward_axis(x.h, x.p(), x.r, x.stride_h, x.pad_h, x.dilation_h);
    g.w[0] = forward_axis(x.w, x.q(), x.s, x.stride_w, x.pad_w, x.dilation_w);
    g.groups = x.groups;
    g.reduced = x.group_c();
    g.source_pitch = x.c_pitch();
    g.columns = x.group_k();
    g.true_columns = x.k / x.groups;
    g.target_pitch = x.k_pitch();
    g.target_h = x.p();
    g.target_w = x.q();
    g.slots_w = x.s;
    g.weight_pitch = x.r * x.s * g.reduced;
    g.shift_in = x.shift;
    return g;
}

constexpr Gather backward_gather(const ConvShape& x) {
    Gather g;
    g.images = x.n;
    g.frames = x.frames;
    g.by_frames = Divider(x.frames);
    g.phases_h = x.stride_h;
    g.phases_w = x.stride_w;
    for (int i = 0; i < x.stride_h && i < most_phases; ++i)
        g.h[i] = backward_axis(x.p(), x.h, x.r, x.stride_h, x.pad_h, x.dilation_h, i);
    for (int i = 0; i < x.stride_w && i < most_phases; ++i)
        g.w[i] = backward_axis(x.q(), x.w, x.s, x.stride_w, x.pad_w, x.dilation_w, i);
    g.groups = x.groups;
    g.reduced = x.group_k();
    g.source_pitch = x.k_pitch();
    g.columns = x.group_c();
    g.true_columns = x.c / x.groups;
    g.target_pitch = x.c_pitch();
    g.target_h = x.h;
    g.target_w = x.w;
    g.slots_w = x.s;
    g.weight_pitch = x.r * x.s * g.reduced;
    g.shift_out = x.shift;
    return g;
}

// A target position of one phase.
struct Pixel {
    int image = 0, y = 0, x = 0;
};

constexpr Pixel pixel_of(const Axis& h, const Axis& w, int row) {
    const int line = w.by_positions.quotient(row), image = h.by_positions.quotient(line);
    return {image, h.by_positions.remainder(line, image), w.by_positions.remainder(row, line)};
}

// The frame that a shifted channel is read from: +1, -1 or 0 frames away.
constexpr int frame_offset(int channel, int shift) {
    return channel < shift ? 1 : channel < 2 * shift ? -1 : 0;
}

// The image `offset` frames from this one in its clip, or -1 beyond the clip's ends.
constexpr int shifted_image(int image, int frames, int offset) {
    if (offset == 0) return image;
    const int frame = image % frames + offset;
    return frame >= 0 && frame < frames ? image + offset : -1;
}

// Where a value of shifted channels is written, going backward: each element exactly once. What leaves a clip
// at one end is replaced by the zero that belongs at its other end. frame: the image's within its clip.
struct ShiftedTarget {
    int image = 0;
    bool zero = false;
};
constexpr ShiftedTarget shifted_target(int image, int frame, int frames, int offset) {
    const int to = frame + offset;
    return to >= 0 && to < frames ? ShiftedTarget{image + offset, false}
                                  : ShiftedTarget{image - offset * (frames - 1), true};
}

// The index of a source pixel, in pixels, or -1 outside of it.
constexpr int source_pixel(const Gather& g, const Axis& h, const Axis& w, const Pixel& at, int tap_h,
                           int tap_w, int offset) {
    const int y = at.y * h.step + h.first + tap_h * h.pitch;
    const int x = at.x * w.step + w.first + tap_w * w.pitch;
    if (static_cast<unsigned>(y) >= static_cast<unsigned>(h.source) ||
        static_cast<unsigned>(x) >= static_cast<unsigned>(w.source))
        return -1;
    const int image = shifted_image(at.image, g.frames, offset);
    return image < 0 ? -1 : (image * h.source + y) * w.source + x;
}

constexpr int target_pixel(const Gather& g, const Axis& h, const Axis& w, int image, int y, int x) {
    return (image * g.target_h + y * h.target_step + h.target_first) * g.target_w + x * w.target_step +
           w.target_first;
}

// The reduction runs over (tap_h, tap_w, channel) in chunks of a few channels; chunk number `index` of it.
struct Chunk {
    int tap_h = 0, tap_w = 0, channel = 0;  // channel within the group
};
constexpr Chunk chunk_of(const Axis& w, const Divider& by_chunks, int chunk_channels, int index) {
    const int tap = by_chunks.quotient(index), tap_h = w.by_taps.quotient(tap);
    return {tap_h, w.by_taps.remainder(tap, tap_h), by_chunks.remainder(index, tap) * chunk_channels};
}
constexpr int weight_offset(const Gather& g, const Axis& h, const Axis& w, const Chunk& chunk) {
    return ((h.slot + chunk.tap_h * h.slot_step) * g.slots_w + w.slot + chunk.tap_w * w.slot_step) *
               g.reduced +
           chunk.channel;
}

// What follows the sum, before a target pixel is written: + bias, + residual, activation.
enum class ConvActivation : int { none, relu, relu6 };

template <class T>
struct Finish {
    const float* bias = nullptr;  // (columns of all groups), or null
    const T* residual = nullptr;  // like the target, or null
    ConvActivation activation = ConvActivation::none;
};

// Backward-weights: gradient(k, (r, s, c)) = sum over output pixels of gradient(pixel, k) x input(pixel, r,
// s, c).
struct WeightGather {
    ConvShape shape;
    int p = 0, q = 0, pixels = 0;  // pixels of the output, of all images
    int group_c = 0, group_k = 0;
    int columns = 0;  // R * S * group_c
    Divider by_q, by_p, by_s;
};
constexpr WeightGather weight_gather(const ConvShape& x) {
    WeightGather g;
    g.shape = x;
    g.p = x.p();
    g.q = x.q();
    g.pixels = x.n * g.p * g.q;
    g.group_c = x.group_c();
    g.group_k = x.group_k();
    g.columns = x.r * x.s * g.group_c;
    g.by_q = Divider(g.q);
    g.by_p = Divider(g.p);
    g.by_s = Divider(x.s);
    return g;
}
constexpr int input_pixel(const WeightGather& g, int pixel, int tap_h, int tap_w, int offset) {
    const ConvShape& x = g.shape;
    const int line = g.by_q.quotient(pixel), image = g.by_p.quotient(line);
    const int y = g.by_p.remainder(line, image) * x.stride_h - x.pad_h + tap_h * x.dilation_h;
    const int column = g.by_q.remainder(pixel, line) * x.stride_w - x.pad_w + tap_w * x.dilation_w;
    if (static_cast<unsigned>(y) >= static_cast<unsigned>(x.h) ||
        static_cast<unsigned>(column) >= static_cast<unsigned>(x.w))
        return -1;
    const int from = shifted_image(image, x.frames, offset);
    return from < 0 ? -1 : (from * x.h + y) * x.w + column;
}

}  // namespace divs::kernels
