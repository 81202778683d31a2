#include "divs/nn/schedule.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "divs/core/config.hpp"
#include "divs/core/error.hpp"

namespace divs::nn {
namespace {

double cosine(const Schedule& s, std::int64_t step) {
    const double length = static_cast<double>(std::max<std::int64_t>(1, s.total_steps - s.warmup_steps));
    const double done = std::clamp(static_cast<double>(step - s.warmup_steps) / length, 0.0, 1.0);
    return s.floor + (s.base - s.floor) * 0.5 * (1 + std::cos(std::numbers::pi * done));
}

double stepped(const Schedule& s, std::int64_t step) {
    const auto passed = std::count_if(s.milestones.begin(), s.milestones.end(), [&](double part) {
        return step >= std::llround(part * static_cast<double>(s.total_steps));
    });
    return s.base * std::pow(s.factor, static_cast<double>(passed));
}

}  // namespace

std::vector<std::string> decay_names() {
    return {"constant", "cosine", "step"};
}

Decay parse_decay(std::string_view name) {
    if (name == "constant") return Decay::constant;
    if (name == "cosine") return Decay::cosine;
    if (name == "step") return Decay::step;
    const std::string near = nearest(name, decay_names());
    throw_error<ConfigError>("unknown schedule '{}', expected constant, cosine or step{}", name,
                             near.empty() ? "" : "; did you mean '" + near + "'?");
}

double learning_rate(const Schedule& s, std::int64_t step) {
    if (step < s.warmup_steps) {
        return s.base * static_cast<double>(step + 1) / static_cast<double>(s.warmup_steps);
    }
    switch (s.decay) {
        case Decay::cosine:
            return cosine(s, step);
        case Decay::step:
            return stepped(s, step);
        case Decay::constant:
            break;
    }
    return s.base;
}

GradientScale gradient_scale(double squared_norm_of_sum, double weight, double max_norm) {
    if (!(weight > 0)) return {};
    const double norm = std::sqrt(squared_norm_of_sum) / weight;
    if (!std::isfinite(norm)) return {norm, 0};
    const double factor = max_norm > 0 && norm > max_norm ? max_norm / norm / weight : 1 / weight;
    return {norm, static_cast<float>(factor)};
}

}  // namespace divs::nn
