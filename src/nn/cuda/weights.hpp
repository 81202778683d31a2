// The copies of the weights that compute reads. The arena keeps float32 weights as (O, I, H, W); kernels want
// the channels last, padded like the tensors, and in the compute type. A copy is made when it is first asked
// for, written again by the optimiser in the pass that updates the arena, and refreshed where the arena was
// written in another way. The addresses of copies never change.
#pragma once

#include <map>
#include <span>
#include <vector>

#include "divs/nn/backend.hpp"
#include "kernels/optimiser.hpp"
#include "memory.hpp"
#include "tensor_view.hpp"

namespace divs::nn::cuda {

using kernels::WeightForm;

// (O, taps, pitch): a filter a row, its channels together. For weights of (O, I / groups, taps).
WeightForm filter_form(int out, int in, int taps, int pitch);
// (I, taps, pitch): a channel of the input a row, the filters of its group together.
WeightForm channel_form(int out, int in, int taps, int groups, int pitch);

class Weights {
  public:
    Weights(const Device& device, DType type);

    // Device address of the copy of this float32 weight of the arena, right in the order of the device's
    // stream. A weight has at most two forms.
    const void* copy(std::span<const float> master, const WeightForm& form);

    // The arena changed here by other means than the optimiser.
    void touched(std::span<const float> arena);
    void refresh();  // now, whatever was touched: before graphs run

    // What an optimiser's pass over this arena writes beside it, on the device. `ranges` fit together from 0
    // to the arena's size. Made again only where the arena, the ranges or the copies changed.
    template <class T>
    kernels::Arena<T> arena(std::span<float> parameters, std::span<const float> gradients,
                            std::span<const UpdateRange> ranges);

  private:
    struct Copy {
        WeightForm form;
        DeviceBytes memory;
    };
    struct Entry {
        std::size_t size = 0;
        std::vector<Copy> copies;
        bool stale = false;
    };
    struct Tables {
        const float* arena = nullptr;
        std::vector<UpdateRange> ranges;
        std::size_t copies = 0;  // how many there were
        DeviceBytes lines, owners;
    };
    void convert(const float* master, const Copy& copy);
    template <class T>
    void make_tables(std::span<float> parameters, std::span<const UpdateRange> ranges);

    const Device& device_;
    DType type_;
    std::map<const float*, Entry> entries_;  // by the address of the master
    std::size_t copies_ = 0;
    bool any_stale_ = false;
    Tables tables_;
};

}  // namespace divs::nn::cuda
