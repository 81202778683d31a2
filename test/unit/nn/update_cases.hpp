// What an update makes of the norm of its gradient, against the closed form, on any backend.
#pragma once

#include <cmath>
#include <limits>

#include "operation_cases.hpp"
#include "support/catch.hpp"

namespace divs::nn::test {

// Plain descent at rate 1: what is left of the parameters is what the gradient was made to.
inline void check_updates_by_norm(Backend& backend, std::size_t size, std::uint64_t seed) {
    CHECK(backend.gradient_norm() == 0);
    const std::vector<std::vector<float>> start{random_values(size, seed, 0), random_values(size, seed, 1)};
    std::vector<float> gradient = random_values(size, seed, 2);
    const std::vector<UpdateRange> ranges{{0, size, true, false}};
    double squares = 0;
    for (const float g : gradient) squares += static_cast<double>(g) * static_cast<double>(g);
    UpdateSettings settings;
    settings.learning_rate = 1;
    settings.weight = 3;
    const double norm = std::sqrt(squares) / settings.weight;

    const auto update = [&] {
        const Arrays arrays(backend, start), gradients(backend, {gradient});
        backend.update(settings, ranges, arrays.spans()[0], gradients.spans()[0],
                       std::span(arrays.spans()).last(1));
        return arrays.read();
    };
    for (const double longest : {0.0, 2 * norm, norm / 5}) {
        settings.clip_norm = longest;
        settings.momentum = 0;
        const double factor = (longest > 0 ? std::min(1.0, longest / norm) : 1) / settings.weight;
        std::vector<std::vector<float>> expected = start;
        for (std::size_t i = 0; i < size; ++i) {
            expected[1][i] = static_cast<float>(factor * static_cast<double>(gradient[i]));
            expected[0][i] = start[0][i] - expected[1][i];
        }
        const auto seen = update();
        for (const std::size_t i : {0, 1}) CHECK(relative_error(seen[i], expected[i]) < 1e-6);
        CHECK(backend.gradient_norm() == Approx(norm).epsilon(1e-12));
    }

    for (const Optimizer optimizer : {Optimizer::sgd, Optimizer::adamw}) {
        settings.optimizer = optimizer;
        settings.weight_decay = 0.1F;
        settings.momentum = 0.9F;
        const auto changes_nothing = [&] {
            const Arrays arrays(backend, {start[0], start[1], start[1]}), gradients(backend, {gradient});
            backend.update(settings, ranges, arrays.spans()[0], gradients.spans()[0],
                           std::span(arrays.spans()).last(optimizer == Optimizer::sgd ? 1 : 2));
            return arrays.read() == std::vector{start[0], start[1], start[1]};
        };
        settings.weight = 0;  // no sample anywhere
        CHECK(changes_nothing());
        CHECK(backend.gradient_norm() == 0);
        settings.weight = 3;
        CHECK_FALSE(changes_nothing());
        for (const float bad : {std::numeric_limits<float>::infinity(), std::nanf("")}) {
            const float good = std::exchange(gradient[size / 2 + 3], bad);
            CHECK(changes_nothing());
            CHECK_FALSE(std::isfinite(backend.gradient_norm()));
            gradient[size / 2 + 3] = good;
        }
    }
}

}  // namespace divs::nn::test
