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

    // From this rank's count, means and biased variances: one reduction of 1 + 2 C numbers (count, sum, sum
    // of squares) where there is a reducer, none otherwise.
    void gather(double local_count, std::span<const double> local_mean,
                std::span<const double> local_variance, double epsilon, Reducer* reducer) {
        const std::size_t channels = local_mean.size();
        count = local_count;
        mean.assign(local_mean.begin(), local_mean.end());
        variance.assign(local_variance.begin(), local_variance.end());
        if (reducer) reduce(*reducer);
        inverse.resize(channels);
        for (std::size_t c = 0; c < channels; ++c) inverse[c] = 1.0 / std::sqrt(variance[c] + epsilon);
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

    void reduce(Reducer& reducer) {
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
            mean[c] = count > 0 ? sums[1 + c] / count : 0;
            variance[c] = count > 0 ? std::max(0.0, sums[1 + channels + c] / count - mean[c] * mean[c]) : 0;
        }
    }
};

}  // namespace divs::nn
