// Medians, for measurements with outliers.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace divs::sched {

inline double median(std::vector<double> values) {  // 0 for none
    if (values.empty()) return 0;
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    if (values.size() % 2) return *middle;
    return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

// The deviation of a normal distribution with this median absolute deviation from `centre`.
inline double robust_deviation(const std::vector<double>& values, double centre) {
    std::vector<double> distances;
    distances.reserve(values.size());
    for (double v : values) distances.push_back(std::abs(v - centre));
    return 1.4826 * median(std::move(distances));
}

}  // namespace divs::sched
