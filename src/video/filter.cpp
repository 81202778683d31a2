#include "filter.hpp"

#include <algorithm>
#include <cmath>

namespace divs::video {
namespace {

// Rounds weights to units of 2^-15 so that the sum of the first n is never off by more than half a unit: the
// errors neither add up nor shift the brightness.
void append_fixed(const std::vector<double>& weights, std::vector<std::uint16_t>& fixed) {
    double sum = 0;
    long before = 0;
    for (const double weight : weights) {
        sum += weight;
        const long now =
            &weight == &weights.back() ? 32768L : std::clamp(std::lround(sum * 32768), before, 32768L);
        fixed.push_back(static_cast<std::uint16_t>(2 * std::min(now - before, 32767L)));
        before = now;
    }
}

}  // namespace

FilterBank triangle_filter(int source, double begin, double size, int out, bool reversed) {
    const double scale = size / out, radius = std::max(1.0, scale);
    FilterBank bank;
    bank.windows.resize(static_cast<std::size_t>(out));
    std::vector<double> weights;
    for (int i = 0; i < out; ++i) {
        const double centre =
            begin + (i + 0.5) * scale - 0.5;  // in source samples, the first one's centre at 0
        const int low = std::clamp(static_cast<int>(std::ceil(centre - radius)), 0, source - 1);
        const int high = std::clamp(static_cast<int>(std::floor(centre + radius)), low, source - 1);
        int first = low;
        weights.clear();
        double sum = 0;
        for (int k = low; k <= high; ++k) {
            const double weight = std::max(0.0, 1.0 - std::abs(k - centre) / radius);
            if (weights.empty() && weight < 1e-9) continue;
            if (weights.empty()) first = k;
            weights.push_back(weight);
            sum += weight;
        }
        while (weights.size() > 1 && weights.back() < 1e-9) weights.pop_back();
        if (weights.empty()) weights.push_back(sum = 1);
        for (double& weight : weights) weight /= sum;

        auto& window = bank.windows[static_cast<std::size_t>(reversed ? out - 1 - i : i)];
        window = {first, static_cast<std::int32_t>(weights.size()),
                  static_cast<std::uint32_t>(bank.weights.size())};
        bank.most = std::max(bank.most, window.count);
        bank.weights.insert(bank.weights.end(), weights.begin(), weights.end());
        append_fixed(weights, bank.fixed);
    }
    return bank;
}

FilterBank with_equal_windows(const FilterBank& bank, int source) {
    FilterBank equal;
    equal.most = bank.most;
    const auto most = static_cast<std::size_t>(bank.most);
    equal.weights.assign(bank.windows.size() * most, 0.0F);
    equal.fixed.assign(bank.windows.size() * most, 0);
    for (const FilterBank::Window& window : bank.windows) {
        const std::size_t offset = equal.windows.size() * most;
        const std::int32_t first = std::min(window.first, source - bank.most);
        equal.windows.push_back({first, bank.most, static_cast<std::uint32_t>(offset)});
        const auto lead = static_cast<std::ptrdiff_t>(offset) + window.first - first;
        std::copy_n(bank.weights.begin() + window.offset, window.count, equal.weights.begin() + lead);
        std::copy_n(bank.fixed.begin() + window.offset, window.count, equal.fixed.begin() + lead);
    }
    return equal;
}

}  // namespace divs::video
