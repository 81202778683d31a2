// The statistics of a batch norm: how sums over the batch (and over ranks) become mean, deviation and running
// values. One place, so that every backend reduces the same numbers in the same order.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "divs/nn/backend.hpp"

namespace divs::nn {

struct NormStatistics {
    double count = 0;  // elements a channel, over all ranks
    std::vector<double> mean, variance,
        inverse;  // (C); biased variance; inverse = 1 / sqrt(variance + epsilon)

    // Starts with this rank's count of elements a channel; set() then takes each channel.
    void begin(std::size_t channels, double local_count) {
        count = local_count;
        for (auto* values : {&mean, &variance, &inverse}) values->assign(channels, 0.0);
    }
    void set(std::size_t channel, double local_mean, double local_variance, double epsilon) {
        mean[channel] = local_mean;
        variance[channel] = local_variance;
        inverse[channel] = 1.0 / std::sqrt(local_variance + epsilon);
    }

    // Makes them those of all ranks: one reduction of 1 + 2 C numbers (count, sums, sums of squares).
    void reduce(Reducer& reducer, double epsilon) {
        const std::size_t channels = mean.size();
        std::vector<double> sums(1 + 2 * channels);
        sums[0] = count;
        for (std::size_t c = 0; c < channels; ++c) {
            sums[1 + c] = count * mean[c];
            sums[1 + channels + c] = count * (variance[c] + mean[c] * mean[c]);
        }
        reducer.sum(sums);
        count = sums[0];
        for (std::size_t c = 0; c < channels; ++c) {
            const double m = count > 0 ? sums[1 + c] / count : 0;
            set(c, m, count > 0 ? std::max(0.0, sums[1 + channels + c] / count - m * m) : 0, epsilon);
        }
    }

    // running = (1 - momentum) running + momentum batch, with the unbiased variance. Nothing where no rank
    // has data.
    void update_running(double momentum, std::span<float> running_mean,
                        std::span<float> running_variance) const {
        if (count == 0) return;
        const double unbiased = count / std::max(count - 1, 1.0);
        for (std::size_t c = 0; c < mean.size(); ++c) {
            running_mean[c] = blend(momentum, running_mean[c], mean[c]);
            running_variance[c] = blend(momentum, running_variance[c], variance[c] * unbiased);
        }
    }

  private:
    static float blend(double momentum, float running, double batch) {
        return static_cast<float>((1 - momentum) * static_cast<double>(running) + momentum * batch);
    }
};

}  // namespace divs::nn
