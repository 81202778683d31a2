// Tries algorithms of one direction of one problem: on random data, against the definition, by the clock.
#pragma once

#include <optional>

#include "convolution.hpp"
#include "memory.hpp"

namespace divs::nn::cuda {

class ConvTrial {
  public:
    // Takes the memory of the problem's tensors, and fills them.
    ConvTrial(const Device& device, const ConvProblem& problem, Direction direction);

    // ||result - definition|| / ||definition|| over sampled elements; infinite where any element was not
    // written or is no number.
    double error(const ConvAlgorithm& algorithm);
    // Whether a result that is no number stays none behind the activation: hidden, it would pass for an
    // answer.
    bool keeps_not_finite(const ConvAlgorithm& algorithm);
    // The largest error that rounding explains, for the arithmetic.
    double tolerance() const;
    // Median of runs back to back, on this data.
    double seconds(const ConvAlgorithm& algorithm);

  private:
    ConvArguments prepare(const ConvAlgorithm& algorithm);
    void* result() const;
    std::size_t result_bytes() const;
    unsigned not_finite();

    const Device& device_;
    ConvProblem problem_;
    Direction direction_;
    std::size_t in_bytes_, out_bytes_, weight_bytes_;
    DeviceBytes in_, out_, residual_, bias_, master_, packed_, weight_gradient_, samples_;
    GrowingBytes workspace_;
    EventHandle begin_, end_;
};

}  // namespace divs::nn::cuda
