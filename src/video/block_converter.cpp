#include "block_converter.hpp"

#include <algorithm>
#include <cmath>

namespace divs::video {
namespace {

constexpr int longest_window = 48;

bool share_a_plane(const Channel& a, const Channel& b) {
    return a.data == b.data && a.log2_height == b.log2_height;
}

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

bool BlockConverter::suits(const Passes& passes) {
    for (std::size_t c = 0; c < static_cast<std::size_t>(passes.channels); ++c)
        if (std::max(passes.of[c].down->most, passes.of[c].across->most) > longest_window) return false;
    return true;
}

void BlockConverter::find_planes(const Passes& passes) {
    planes_.clear();
    const auto channels = static_cast<std::size_t>(passes.channels);
    for (std::size_t c = 0; c < channels;) {
        Plane plane{.first_channel = c, .begin = SIZE_MAX};
        std::size_t end = 0;
        for (; c < channels && share_a_plane(passes.of[plane.first_channel].channel, passes.of[c].channel);
             ++c) {
            const Channel& channel = passes.of[c].channel;
            for (const FilterBank::Window& window : passes.of[c].across->windows) {
                const int first = window.first * channel.step + channel.offset;
                const int last = (window.first + window.count - 1) * channel.step + channel.offset;
                plane.begin = std::min(plane.begin, static_cast<std::size_t>(first));
                end = std::max(end, static_cast<std::size_t>(last) + 1);
            }
        }
        plane.end_channel = c;
        plane.bytes = end - plane.begin;
        plane.half = ((plane.bytes + 1) / 2 + 31) / 32 * 32;  // rows of whole cache lines
        plane.pitch =
            2 * plane.half + 32;  // an odd number of cache lines: rows lie in different sets of the cache
        planes_.push_back(plane);
        rows_.resize(std::max(rows_.size(), block_rows * plane.pitch));
        turned_.resize(std::max(turned_.size(), block_rows * 2 * plane.half));
    }
}

// Asks for the rows that the next window has and this one has not: a row is too short for the processor to
// see in time that it is read in order.
void BlockConverter::prefetch_rows(const Channel& channel, const Plane& plane,
                                   const FilterBank::Window& window, const FilterBank::Window& next) {
    const std::int32_t end = next.first + next.count;
    for (std::int32_t row = std::max(next.first, window.first + window.count); row < end; ++row) {
        const std::uint8_t* at = channel.data + channel.stride * row + plane.begin;
        for (std::size_t i = 0; i < plane.bytes; i += cache_line) __builtin_prefetch(at + i);
    }
}

void BlockConverter::sum_rows(const ChannelPass& pass, const Plane& plane, std::size_t top,
                              std::size_t rows) {
    const Channel& channel = pass.channel;
    window_.resize(static_cast<std::size_t>(pass.down->most));
    for (std::size_t r = 0; r < rows; ++r) {
        const FilterBank::Window& window = pass.down->windows[top + r];
        if (top + r + 1 < pass.down->windows.size())
            prefetch_rows(channel, plane, window, pass.down->windows[top + r + 1]);
        for (std::int32_t k = 0; k < window.count; ++k)
            window_[static_cast<std::size_t>(k)] =
                channel.data + channel.stride * (window.first + k) + plane.begin;
        kernels_.weigh(window_.data(), pass.down->fixed.data() + window.offset, window.count, plane.bytes,
                       plane.half, rows_.data() + r * plane.pitch);
    }
    kernels_.turn(rows_.data(), plane.pitch, plane.half, plane.half, turned_.data());
}

void BlockConverter::sum_columns(const ChannelPass& pass, const Plane& plane,
                                 AlignedBuffer<std::uint16_t>& out) {
    const auto step = static_cast<std::size_t>(pass.channel.step);
    const std::size_t offset =
        static_cast<std::size_t>(pass.channel.offset) - plane.begin;  // may wrap, and back
    std::uint16_t* column = out.data();
    for (const FilterBank::Window& window : pass.across->windows) {
        const std::size_t first = static_cast<std::size_t>(window.first) * step + offset;
        kernels_.across(turned_.data() + first * block_rows, step, pass.across->fixed.data() + window.offset,
                        window.count, column);
        column += block_rows;
    }
}

void BlockConverter::convert(const Passes& passes, std::span<std::uint8_t> rgb) {
    find_planes(passes);
    for (auto& column : columns_) column.resize(passes.width * block_rows, 128 << 8);
    for (auto c = static_cast<std::size_t>(passes.channels); c < 3; ++c)
        std::fill(columns_[c].begin(), columns_[c].end(), std::uint16_t{128 << 8});
    const std::size_t bytes = 3 * passes.width;
    coloured_.resize((bytes + 15) / 16 * 16 * block_rows);
    float map[3][4];
    for (std::size_t k = 0; k < 3; ++k) std::copy(passes.map[k].begin(), passes.map[k].end(), map[k]);
    const auto colour = is_gentle(passes.map) ? kernels_.colour : kernels_.colour_widely;

    for (std::size_t top = 0; top < passes.height; top += block_rows) {
        const std::size_t rows = std::min(block_rows, passes.height - top);
        for (const Plane& plane : planes_) {
            sum_rows(passes.of[plane.first_channel], plane, top, rows);
            for (std::size_t c = plane.first_channel; c < plane.end_channel; ++c)
                sum_columns(passes.of[c], plane, columns_[c]);
        }
        colour(map, columns_[0].data(), columns_[1].data(), columns_[2].data(), passes.width,
               coloured_.data());
        kernels_.turn_bytes(coloured_.data(), bytes, rows, bytes, rgb.data() + top * bytes);
    }
}

}  // namespace divs::video
