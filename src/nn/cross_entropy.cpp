#include "cross_entropy.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "divs/core/error.hpp"

namespace divs::nn {
void check_loss(int classes, std::span<const std::int32_t> labels, std::span<const float> weights,
                float smoothing) {
    for (std::size_t i = 0; i < labels.size(); ++i)
        if (labels[i] < 0 || labels[i] >= classes)
            throw_error<ConfigError>("loss: label {} in row {}, expected 0 to {}", labels[i], i, classes - 1);
    if (!weights.empty() && weights.size() != static_cast<std::size_t>(classes))
        throw_error<ConfigError>("loss: {} class weights for {} classes", weights.size(), classes);
    if (!(smoothing >= 0 && smoothing <= 1))
        throw_error<ConfigError>("loss: label smoothing {}, expected 0 to 1", smoothing);
}

LossSum softmax_cross_entropy(const float* logits, int classes, std::span<const std::int32_t> labels,
                              std::span<const float> class_weights, float smoothing, float* gradient) {
    check_loss(classes, labels, class_weights, smoothing);
    const auto count = static_cast<std::size_t>(classes);
    const double spread = static_cast<double>(smoothing) / classes;
    std::vector<double> log_softmax(count), target(count);
    LossSum sum;
    for (std::size_t i = 0; i < labels.size(); ++i) {
        const float* row = logits + i * count;
        const auto label = static_cast<std::size_t>(labels[i]);
        const double largest = static_cast<double>(*std::max_element(row, row + count));
        double normaliser = 0, mass = 0, loss = 0;
        for (std::size_t k = 0; k < count; ++k) normaliser += std::exp(static_cast<double>(row[k]) - largest);
        for (std::size_t k = 0; k < count; ++k) {
            const double weight = class_weights.empty() ? 1.0 : static_cast<double>(class_weights[k]);
            target[k] = weight * (spread + (k == label ? 1.0 - static_cast<double>(smoothing) : 0.0));
            log_softmax[k] = static_cast<double>(row[k]) - largest - std::log(normaliser);
            mass += target[k];
            loss -= target[k] > 0 ? target[k] * log_softmax[k] : 0.0;
        }
        for (std::size_t k = 0; gradient && k < count; ++k)
            gradient[i * count + k] = static_cast<float>(mass * std::exp(log_softmax[k]) - target[k]);
        // A NaN hides from max_element, and shows in the normaliser.
        if (!std::isfinite(normaliser)) loss = normaliser;
        if (!std::isfinite(loss) && sum.first_not_finite < 0) sum.first_not_finite = static_cast<int>(i);
        sum.loss += loss;
        sum.weight += class_weights.empty() ? 1.0 : static_cast<double>(class_weights[label]);
        sum.correct += static_cast<std::size_t>(std::max_element(row, row + count) - row) == label;
    }
    return sum;
}

}  // namespace divs::nn
