// The copies of the weights that compute reads. The arena keeps float32 weights as (O, I, H, W); kernels want
// the input channels last, padded like the tensors, and in the compute type. A copy is made when it is first
// asked for, written again by the optimiser in the pass that updates the arena, and refreshed where the arena
// was written in another way. The addresses of copies never change.
#pragma once

#include <map>
#include <span>
#include <vector>

#include "memory.hpp"
#include "tensor_view.hpp"

namespace divs::nn::cuda {

// Where element (o, i, tap) of a weight lies in its copy: o * out_stride + tap * tap_stride + i, where
// tap = h * KW + w and i counts the channels within a group. What lies between is zero.
struct WeightForm {
    int out = 0, in = 0, taps = 1;  // in: channels of one group
    int out_stride = 0, tap_stride = 0;
    std::size_t size = 0;  // elements of the copy
    friend bool operator==(const WeightForm&, const WeightForm&) = default;
};

// (out_rows, taps, in_pitch): a filter a row. Rows behind `out` are zero, as are channels behind `in`.
WeightForm filter_form(int out, int in, int taps, int out_rows, int in_pitch);
// (taps, out_pitch), for depthwise convolutions: in == 1.
WeightForm depthwise_form(int out, int taps, int out_pitch);

class Weights {
  public:
    Weights(const Device& device, DType type);

    // Device address of the copy of this float32 weight of the arena, in the order of the device's stream.
    // float32 weights that already lie as the form asks are given as they are.
    const void* copy(std::span<const float> master, const WeightForm& form);

    // The arena changed here by other means than the optimiser: copies of it are refreshed before their next
    // use.
    void touched(std::span<const float> arena);
    void refresh();  // now, whatever was touched; before graphs run

  private:
    struct Entry {
        std::span<const float> master;
        WeightForm form;
        DeviceBytes memory;
        bool stale = true;
    };
    void convert(Entry& entry);

    const Device& device_;
    DType type_;
    std::map<const float*, std::vector<Entry>> entries_;  // by the address of the master
    bool any_stale_ = false;
};

}  // namespace divs::nn::cuda
