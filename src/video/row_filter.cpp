#include "row_filter.hpp"

#include <algorithm>

namespace divs::video {
namespace {

constexpr std::size_t ceil_div(std::size_t a, std::size_t b) {
    return (a + b - 1) / b;
}

}  // namespace

RowFilter::RowFilter(const FilterBank& bank, int source, const PixelKernels& kernels)
    : least_(std::max(static_cast<std::size_t>(source), kernels.register_bytes)) {
    plan_.width = bank.windows.size();
    plan_.windows = bank.windows.data();
    plan_.weights = bank.fixed.data();
    plan_.taps = static_cast<std::size_t>(bank.most);
    if (kernels.register_bytes == 16) lay_out_lanes(bank);
    if (kernels.register_bytes == 64) lay_out_pieces(bank);
    plan_.begin = begin_.data(), plan_.index = index_.data(), plan_.from = from_.data();
    plan_.factors = factors_.data();
}

// A group is 8 outputs, of `pieces` registers of two lanes of 16 bytes. The 32-bit words of a lane's result
// are sums of two products each, of 4, 2 or 1 outputs: of so many that a step's samples lie in 16 bytes.
// Register p's lane l has the group's outputs from 4 l + p * (outputs of a lane) on, so that adding
// neighbours leaves them in order.
void RowFilter::lay_out_lanes(const FilterBank& bank) {
    constexpr std::size_t lane_bytes = 16, words = 4, group = 8;
    const auto first_of = [&](std::size_t output) {
        return static_cast<std::size_t>(bank.windows[std::min(output, plan_.width - 1)].first);
    };
    std::size_t outputs = words;
    const auto fits = [&](std::size_t at) {
        const std::size_t samples = std::min(plan_.taps, 2 * words / outputs);
        const auto [low, high] = std::minmax({first_of(at), first_of(at + outputs - 1)});
        return high - low + samples <= lane_bytes;
    };
    for (std::size_t at = 0; outputs > 1 && at < plan_.width;)
        fits(at) ? at += outputs : (outputs /= 2, at = 0);

    const std::size_t groups = ceil_div(plan_.width, group), parts = words / outputs;
    const std::size_t taps = 2 * words / outputs, steps = ceil_div(plan_.taps, taps);
    begin_.reserve(groups * parts * steps * 2);
    index_.assign(groups * parts * steps * 2 * lane_bytes, 0x80);
    factors_.assign(index_.size(), 0);
    for (std::size_t n = 0; n < groups * parts * steps * 2; ++n) {
        const std::size_t lane = n % 2, step = n / 2 % steps, part = n / 2 / steps % parts;
        const std::size_t first = n / 2 / steps / parts * group + words * lane + part * outputs;
        const std::size_t begin = std::min(
            std::min(first_of(first), first_of(first + outputs - 1)) + step * taps, least_ - lane_bytes);
        begin_.push_back(static_cast<std::uint32_t>(begin));
        for (std::size_t i = 0; i < outputs * taps; ++i) {
            const std::size_t output = first + i / taps, tap = step * taps + i % taps;
            if (output >= plan_.width || tap >= plan_.taps) continue;
            index_[n * lane_bytes + 2 * i] = static_cast<std::uint8_t>(first_of(output) + tap - begin);
            const std::uint16_t factor = bank.fixed[bank.windows[output].offset + tap] / 2;
            std::copy_n(reinterpret_cast<const std::uint8_t*>(&factor), 2,
                        factors_.data() + n * lane_bytes + 2 * i);
        }
    }
    plan_.groups = groups, plan_.steps = steps, plan_.pieces = parts;
}

// A group is 16 outputs. All their samples lie in `pieces` registers one behind the other; each step brings
// the next four samples of every output together.
void RowFilter::lay_out_pieces(const FilterBank& bank) {
    constexpr std::size_t taps_at_once = 4, register_bytes = 64,
                          outputs_at_once = register_bytes / taps_at_once;
    const std::size_t groups = ceil_div(plan_.width, outputs_at_once);
    const std::size_t steps = ceil_div(plan_.taps, taps_at_once);
    std::size_t longest = 1;
    for (std::size_t g = 0; g < groups; ++g) {
        const auto [low, high] = std::minmax_element(
            bank.windows.begin() + static_cast<std::ptrdiff_t>(g * outputs_at_once),
            bank.windows.begin() +
                static_cast<std::ptrdiff_t>(std::min((g + 1) * outputs_at_once, plan_.width)),
            [](const FilterWindow& a, const FilterWindow& b) { return a.first < b.first; });
        longest = std::max(longest, static_cast<std::size_t>(high->first - low->first) + plan_.taps);
        begin_.push_back(static_cast<std::uint32_t>(low->first));
    }
    const std::size_t pieces = ceil_div(longest, register_bytes);
    least_ = std::max(least_, pieces * register_bytes);
    // No register reaches beyond the row.
    for (std::uint32_t& begin : begin_)
        begin = std::min(begin, static_cast<std::uint32_t>(least_ - pieces * register_bytes));

    index_.assign(groups * steps * register_bytes, 0);
    from_.assign(groups * steps * pieces, 0);
    factors_.assign(groups * (1 + 2 * steps) * register_bytes, 0);
    for (std::size_t i = 0; i < plan_.width; ++i) {
        const std::size_t g = i / outputs_at_once, lane = i % outputs_at_once * taps_at_once;
        const FilterWindow& window = bank.windows[i];
        std::uint8_t* const factors = factors_.data() + g * (1 + 2 * steps) * register_bytes + lane;
        std::int32_t start = 128;  // half a unit; and samples are taken about the middle
        for (std::size_t k = 0; k < plan_.taps; ++k) {
            const std::uint16_t weight = bank.fixed[window.offset + k];
            const std::size_t step = k / taps_at_once, at = lane + k % taps_at_once;
            const std::size_t sample = static_cast<std::size_t>(window.first) + k - begin_[g];
            index_[(g * steps + step) * register_bytes + at] =
                static_cast<std::uint8_t>(sample % register_bytes);
            from_[(g * steps + step) * pieces + sample / register_bytes] |= std::uint64_t{1} << at;
            std::uint8_t* const of_step = factors + (1 + 2 * step) * register_bytes + k % taps_at_once;
            of_step[0] = static_cast<std::uint8_t>(weight >> 8);
            of_step[register_bytes] = static_cast<std::uint8_t>(weight);
            start += 128 * weight;
        }
        std::copy_n(reinterpret_cast<const std::uint8_t*>(&start), sizeof start, factors);
    }
    plan_.groups = groups, plan_.steps = steps, plan_.pieces = pieces;
}

}  // namespace divs::video
