#include "row_converter.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace divs::video {
namespace {

constexpr int longest_window = 48;

// True where no sum of products leaves 16 bits with 5 after the point.
bool is_gentle(const ColourMap& map) {
    for (const auto& row : map) {
        const float sum = std::abs(row[0]) + std::abs(row[1]) + std::abs(row[2]);
        const float middle = std::abs(row[3] + 128 * (row[0] + row[1] + row[2]));
        const float most = std::max({std::abs(row[0]), std::abs(row[1]), std::abs(row[2])});
        if (!(most < 3.99F && middle + 128 * sum < 1000)) return false;
    }
    return true;
}

}  // namespace

bool RowConverter::suits(const Passes& passes) {
    for (std::size_t c = 0; c < static_cast<std::size_t>(passes.channels); ++c)
        if (std::max(passes.of[c].down->most, passes.of[c].across->most) > longest_window) return false;
    return true;
}

void RowConverter::begin(const ChannelPass& pass, Filtered& filtered) {
    filtered.slots = std::bit_ceil(static_cast<std::size_t>(pass.down->most) + rows_at_once);
    filtered.rows.resize(std::max(filtered.rows.size(), filtered.slots * pitch_));
    filtered.next = pass.down->windows.front().first;
}

// The samples of a row side by side, and at least as many bytes as the filter reads.
const std::uint8_t* RowConverter::samples_of(const ChannelPass& pass, std::int32_t row, std::size_t number) {
    const Channel& channel = pass.channel;
    const std::uint8_t* const samples = channel.data + channel.stride * row + channel.offset;
    const auto width = static_cast<std::size_t>(channel.width), bytes = pass.rows->least_bytes();
    if (channel.step == 1 && width >= bytes) return samples;
    packed_.resize(std::max(packed_.size(), rows_at_once * bytes));
    std::uint8_t* const packed = packed_.data() + number * bytes;
    for (std::size_t i = 0; i < width; ++i) packed[i] = samples[i * static_cast<std::size_t>(channel.step)];
    return packed;
}

// Filters the next rows; those behind the last are the last again.
void RowConverter::filter_rows(const ChannelPass& pass, Filtered& filtered) {
    std::array<const std::uint8_t*, rows_at_once> in, ahead;
    std::array<std::uint16_t*, rows_at_once> out;
    const auto at_once = static_cast<std::int32_t>(rows_at_once), last = pass.channel.height - 1;
    for (std::size_t r = 0; r < rows_at_once; ++r, ++filtered.next) {
        const std::int32_t row = std::min(filtered.next, last);
        in[r] = samples_of(pass, row, r);
        ahead[r] = pass.channel.data + pass.channel.stride * std::min(row + at_once, last);
        out[r] = filtered.at(row, pitch_);
    }
    kernels_.across(pass.rows->plan(), in.data(), ahead.data(), out.data());
}

void RowConverter::sum_rows(const ChannelPass& pass, std::size_t row, Filtered& filtered) {
    const FilterBank::Window& window = pass.down->windows[row];
    while (filtered.next < window.first + window.count) filter_rows(pass, filtered);
    std::array<const std::uint16_t*, longest_window> rows;
    for (std::int32_t k = 0; k < window.count; ++k)
        rows[static_cast<std::size_t>(k)] = filtered.at(window.first + k, pitch_);
    kernels_.down(rows.data(), pass.down->fixed.data() + window.offset, window.count, pitch_,
                  filtered.sum.data());
}

void RowConverter::convert(const Passes& passes, std::span<std::uint8_t> rgb) {
    const auto channels = static_cast<std::size_t>(passes.channels);
    pitch_ = (passes.width + row_unit - 1) / row_unit * row_unit;
    for (Filtered& filtered : filtered_) filtered.sum.assign(pitch_, 0);
    for (std::size_t c = 0; c < channels; ++c) begin(passes.of[c], filtered_[c]);
    float map[3][4];
    for (std::size_t k = 0; k < 3; ++k) std::copy(passes.map[k].begin(), passes.map[k].end(), map[k]);
    const auto colour = is_gentle(passes.map) ? kernels_.colour : kernels_.colour_widely;

    for (std::size_t row = 0; row < passes.height; ++row) {
        for (std::size_t c = 0; c < channels; ++c) sum_rows(passes.of[c], row, filtered_[c]);
        colour(map, filtered_[0].sum.data(), filtered_[1].sum.data(), filtered_[2].sum.data(), passes.width,
               rgb.data() + 3 * passes.width * row);
    }
    kernels_.finish();
}

}  // namespace divs::video
