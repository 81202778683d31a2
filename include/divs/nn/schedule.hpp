// Learning rates as functions of the step, and the scale of summed gradients.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace divs::nn {

enum class Decay { constant, cosine, step };

// "constant", "cosine", "step"; ConfigError suggests the nearest.
Decay parse_decay(std::string_view name);
std::vector<std::string> decay_names();

// Linear warm-up from base / warmup_steps to base (Goyal et al., arXiv 1706.02677), then the decay:
//   constant  base
//   cosine    floor + (base - floor) (1 + cos(pi x)) / 2, x the part of the steps after warm-up that is done
//             (Loshchilov, Hutter, arXiv 1608.03983)
//   step      base x factor^m, m the number of milestones (parts of total_steps) at or before this step
struct Schedule {
    Decay decay = Decay::cosine;
    double base = 0.1;
    double floor = 0;  // cosine's last value
    std::int64_t total_steps = 1, warmup_steps = 0;
    std::vector<double> milestones{1.0 / 3, 2.0 / 3};
    double factor = 0.1;
};

// The rate of update `step` of total_steps, from 0. At total_steps and beyond: the rate that the decay ends
// with.
double learning_rate(const Schedule& schedule, std::int64_t step);

// What an update makes of gradients of a *sum* of losses.
struct GradientScale {
    double norm = 0;  // of the mean gradient
    // Of each gradient: 1 / weight, times max_norm / norm where the norm exceeds max_norm (0: no clipping).
    // Pascanu, Mikolov, Bengio, arXiv 1211.5063. 0 where there is nothing to apply: the weight is 0 (no
    // sample anywhere), or the norm is not finite.
    float factor = 0;
};
GradientScale gradient_scale(double squared_norm_of_sum, double weight, double max_norm);

}  // namespace divs::nn
