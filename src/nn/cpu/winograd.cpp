#include "winograd.hpp"

#include <algorithm>
#include <array>

#include "parallel.hpp"

namespace divs::nn::cpu {
namespace {

constexpr std::size_t numbers = 36;  // of a tile: 6 x 6
constexpr std::size_t taps = 9;
constexpr std::size_t tile_pixels = 4;                      // on a side
constexpr std::size_t cached_bytes = std::size_t{1} << 20;  // of tiles in the making, for each thread
constexpr std::size_t smallest_chunk = 60,
                      gradient_chunk = 120;  // tiles over which the weights are read once
constexpr std::size_t fewest_tiles = 32;     // below, transforming the weights costs more than it saves
constexpr std::size_t chunk_step = 12;       // tiles that a product takes at once

std::size_t round_up(std::size_t n, std::size_t step) {
    return (n + step - 1) / step * step;
}

// Blocks of target channels come in panels of two, the last one alone where they are odd in number.
std::size_t panel_width(std::size_t block, std::size_t blocks) {
    return block / 2 * 2 + 1 < blocks ? 2 : 1;
}

// Floats from one of the 36 numbers to the next. Not near a multiple of a page: the 36 lines that a transform
// touches would share a few sets of the cache.
std::size_t spaced(std::size_t floats) {
    return round_up(floats, 1024) + 80;
}

std::size_t tiles_along(int size) {
    return (static_cast<std::size_t>(size) + tile_pixels - 1) / tile_pixels;
}

std::size_t blocks_of(const View& view) {
    return static_cast<std::size_t>(view.blocks);
}

}  // namespace

std::size_t Winograd::tiles(const View& out) {
    return static_cast<std::size_t>(out.n) * tiles_along(out.h) * tiles_along(out.w);
}

bool Winograd::fits(const Conv2d& op, const View& in, const View& out, Direction direction,
                    const Kernels& kernels) {
    const bool shape = op.kernel_h == 3 && op.kernel_w == 3 && op.stride_h == 1 && op.stride_w == 1 &&
                       op.dilation_h == 1 && op.dilation_w == 1 && op.groups == 1 && op.pad_h <= 2 &&
                       op.pad_w <= 2 &&
                       !(op.bias && direction == Direction::backward_weights);  // gives no gradient of it
    // Few channels or tiny images leave most of a block or a tile empty.
    return shape && in.block == kernels.block && out.block == kernels.block && 2 * in.c >= in.block &&
           2 * out.c >= out.block && out.h >= 3 && out.w >= 3 && tiles(out) >= fewest_tiles;
}

Winograd::Winograd(const Conv2d& op, const View& in, const View& out, Direction direction,
                   const Environment& env)
    : direction_(direction),
      source_(direction == Direction::backward_data ? out : in),
      target_(direction == Direction::backward_data ? in : out),
      pad_h_(direction == Direction::backward_data ? 2 - op.pad_h : op.pad_h),
      pad_w_(direction == Direction::backward_data ? 2 - op.pad_w : op.pad_w),
      threads_(env.options.threads),
      kernels_(env.kernels->winograd),
      lanes_(in.lanes()) {
    tiles_h_ = tiles_along(target_.h);
    tiles_w_ = tiles_along(target_.w);
    tiles_ = tiles(target_);
    const std::size_t tile_bytes =
        numbers * (source_.padded_channels() + target_.padded_channels()) * sizeof(float);
    const bool gradients = direction == Direction::backward_weights;
    const auto threads = static_cast<std::size_t>(threads_);
    chunk_ = std::max(cached_bytes / tile_bytes, gradients ? gradient_chunk : smallest_chunk);
    // With work for everybody each thread makes chunks of its own; else all share the steps of one.
    chunks_at_once_ = !gradients && (tiles_ + chunk_ - 1) / chunk_ >= 2 * threads ? threads : 1;
    chunk_ = round_up(std::min(chunk_, std::max<std::size_t>(tiles_, 1)), chunk_step);
}

std::size_t Winograd::workspace_bytes() const noexcept {
    const std::size_t tiles = numbers * (u_stride() + chunks_at_once_ * (v_stride() + m_stride()));
    return (tiles + target_.padded_channels()) * sizeof(float);
}

void Winograd::run(float* in, float* weights, float* out, float* workspace, const Finish& finish) const {
    if (direction_ == Direction::forward) convolve(in, weights, out, workspace, finish);
    if (direction_ == Direction::backward_data) convolve(out, weights, in, workspace, {});
    if (direction_ == Direction::backward_weights) differentiate(in, out, weights, workspace);
}

std::size_t Winograd::u_stride() const {
    return spaced(source_.padded_channels() * target_.padded_channels());
}
std::size_t Winograd::v_stride() const {
    return spaced(chunk_ * source_.padded_channels());
}
std::size_t Winograd::m_stride() const {
    return spaced(chunk_ * target_.padded_channels());
}

// Where a block and row 0 lie in (panels, rows, panel width x lanes).
float* Winograd::panel(float* base, std::size_t block, std::size_t rows) const {
    return base + block / 2 * 2 * rows * lanes_ + block % 2 * lanes_;
}

WinogradTile Winograd::tile_at(std::size_t tile, const View& view, int offset) const {
    const std::size_t x = tile % tiles_w_ * tile_pixels, y = tile / tiles_w_ % tiles_h_ * tile_pixels;
    return {static_cast<int>(y) - (offset ? pad_h_ : 0), static_cast<int>(x) - (offset ? pad_w_ : 0), view.h,
            view.w};
}

void Winograd::convolve(const float* source, const float* weights, float* target, float* workspace,
                        Finish finish) const {
    if (finish.bias) {  // with zeros in the padding
        std::fill_n(std::copy_n(finish.bias, target_.channels(), workspace),
                    target_.padded_channels() - target_.channels(), 0.0F);
        finish.bias = workspace;
    }
    float* u = workspace + target_.padded_channels();
    const std::size_t v_size = numbers * v_stride();
    const std::size_t m_size = numbers * m_stride();
    float* works = u + numbers * u_stride();
    const std::size_t chunks = (tiles_ + chunk_ - 1) / chunk_;
    auto chunk_at = [&](std::size_t i) { return Range{i * chunk_, std::min((i + 1) * chunk_, tiles_)}; };
    pack_weights(weights, u);
    if (chunks_at_once_ > 1) {
        parallel_ranges(threads_, chunks, [&](std::size_t begin, std::size_t end) {
            float* own = works + static_cast<std::size_t>(omp_get_thread_num()) * (v_size + m_size);
            const Work work{own, own + v_size};
            for (std::size_t i = begin; i < end; ++i) {
                gather_sources(source, work, chunk_at(i), chunk_at(i));
                multiply(u, work, chunk_at(i), {0, numbers});
                scatter_targets(work, target, finish, chunk_at(i), chunk_at(i));
            }
        });
        return;
    }
    const Work work{works, works + v_size};
    for (std::size_t i = 0; i < chunks; ++i) {
        const Range chunk = chunk_at(i);
        auto tiles = [&](std::size_t a, std::size_t b) { return Range{chunk.begin + a, chunk.begin + b}; };
        parallel_ranges(threads_, chunk.end - chunk.begin, [&](std::size_t a, std::size_t b) {
            gather_sources(source, work, chunk, tiles(a, b));
        });
        parallel_ranges(threads_, numbers, [&](std::size_t a, std::size_t b) {
            multiply(u, work, chunk, {a, b});
        });
        parallel_ranges(threads_, chunk.end - chunk.begin, [&](std::size_t a, std::size_t b) {
            scatter_targets(work, target, finish, chunk, tiles(a, b));
        });
    }
}

void Winograd::differentiate(const float* in, const float* out, float* gradients, float* workspace) const {
    float* u = workspace;
    const std::size_t v_size = numbers * v_stride();
    float* works = u + numbers * u_stride();
    const Work work{works, works + v_size};
    for (std::size_t begin = 0; begin < tiles_; begin += chunk_) {
        const Range chunk{begin, std::min(begin + chunk_, tiles_)};
        parallel_ranges(threads_, chunk.end - chunk.begin, [&](std::size_t a, std::size_t b) {
            const Range tiles{begin + a, begin + b};
            gather_sources(in, work, chunk, tiles);
            gather_targets(out, work, chunk, tiles);
        });
        parallel_ranges(threads_, numbers, [&](std::size_t a, std::size_t b) {
            accumulate_gradients(work, u, chunk, {a, b});
        });
    }
    unpack_gradients(u, gradients);
}

// U = G w G^T, rows of source channels, panels of target channels; zeros in the padding of both.
void Winograd::pack_weights(const float* weights, float* u) const {
    const std::size_t rows = source_.padded_channels(), blocks = blocks_of(target_);
    const bool turned = direction_ == Direction::backward_data;
    const std::size_t inputs = (turned ? target_ : source_).channels();
    parallel_for(threads_, blocks * blocks_of(source_), [&](std::size_t task) {
        const std::size_t block = task / blocks_of(source_), first = task % blocks_of(source_) * lanes_;
        for (std::size_t row = first; row < first + lanes_; ++row) {
            std::array<float, taps * 16> w{};
            for (std::size_t lane = 0; lane < lanes_; ++lane) {
                const std::size_t channel = block * lanes_ + lane;
                if (row >= source_.channels() || channel >= target_.channels()) continue;
                const float* from =
                    weights + (turned ? row * inputs + channel : channel * inputs + row) * taps;
                for (std::size_t i = 0; i < taps; ++i) w[i * lanes_ + lane] = from[turned ? taps - 1 - i : i];
            }
            kernels_.weights(w.data(), panel(u, block, rows) + row * panel_width(block, blocks) * lanes_,
                             u_stride());
        }
    });
}

// dw = G^T dU G
void Winograd::unpack_gradients(const float* u, float* gradients) const {
    const std::size_t rows = source_.padded_channels(), blocks = blocks_of(target_);
    parallel_for(threads_, blocks * blocks_of(source_), [&](std::size_t task) {
        const std::size_t block = task / blocks_of(source_), first = task % blocks_of(source_) * lanes_;
        for (std::size_t row = first; row < std::min(first + lanes_, source_.channels()); ++row) {
            std::array<float, taps * 16> w;
            kernels_.weights_gradient(
                panel(const_cast<float*>(u), block, rows) + row * panel_width(block, blocks) * lanes_,
                u_stride(), w.data());
            for (std::size_t lane = 0; lane < lanes_ && block * lanes_ + lane < target_.channels(); ++lane) {
                float* to = gradients + ((block * lanes_ + lane) * source_.channels() + row) * taps;
                for (std::size_t i = 0; i < taps; ++i) to[i] = w[i * lanes_ + lane];
            }
        }
    });
}

// V = B^T d B: (numbers, source blocks, chunk, lanes)
void Winograd::gather_sources(const float* source, Work work, Range chunk, Range tiles) const {
    const std::size_t blocks = blocks_of(source_);
    for (std::size_t tile = tiles.begin; tile < tiles.end; ++tile) {
        const WinogradTile at = tile_at(tile, source_, 1);
        const float* image = source + tile / (tiles_h_ * tiles_w_) * source_.row();
        for (std::size_t block = 0; block < blocks; ++block)
            kernels_.input(image + block * source_.plane(), at,
                           work.v + (block * chunk_ + tile - chunk.begin) * lanes_, v_stride());
    }
}

// M = U V for some of the 36 numbers: (numbers, panels, chunk, panel width x lanes)
void Winograd::multiply(const float* u, Work work, Range chunk, Range some) const {
    const std::size_t sources = blocks_of(source_), targets = blocks_of(target_),
                      rows = source_.padded_channels();
    for (std::size_t number = some.begin; number < some.end; ++number)
        for (std::size_t block = 0; block < targets; block += 2)
            kernels_.product[panel_width(block, targets) - 1](
                work.v + number * v_stride(), chunk_ * lanes_, sources,
                panel(const_cast<float*>(u) + number * u_stride(), block, rows),
                panel(work.m + number * m_stride(), block, chunk_), chunk.end - chunk.begin);
}

// y = A^T M A, finished
void Winograd::scatter_targets(Work work, float* target, const Finish& finish, Range chunk,
                               Range tiles) const {
    const std::size_t blocks = blocks_of(target_);
    for (std::size_t tile = tiles.begin; tile < tiles.end; ++tile) {
        const WinogradTile at = tile_at(tile, target_, 0);
        for (std::size_t block = 0; block < blocks; ++block) {
            const std::size_t plane = tile / (tiles_h_ * tiles_w_) * target_.row() + block * target_.plane();
            const Finish own{finish.bias ? finish.bias + block * lanes_ : nullptr,
                             finish.residual ? finish.residual + plane : nullptr, finish.curve};
            kernels_.output(
                panel(work.m, block, chunk_) + (tile - chunk.begin) * panel_width(block, blocks) * lanes_,
                m_stride(), target + plane, at, own);
        }
    }
}

// dM = A dy A^T
void Winograd::gather_targets(const float* target, Work work, Range chunk, Range tiles) const {
    const std::size_t blocks = blocks_of(target_);
    for (std::size_t tile = tiles.begin; tile < tiles.end; ++tile) {
        const WinogradTile at = tile_at(tile, target_, 0);
        const float* image = target + tile / (tiles_h_ * tiles_w_) * target_.row();
        for (std::size_t block = 0; block < blocks; ++block)
            kernels_.output_gradient(
                image + block * target_.plane(), at,
                panel(work.m, block, chunk_) + (tile - chunk.begin) * panel_width(block, blocks) * lanes_,
                m_stride());
    }
}

// dU (+)= V^T dM for some of the 36 numbers
void Winograd::accumulate_gradients(Work work, float* u, Range chunk, Range some) const {
    const std::size_t sources = blocks_of(source_), targets = blocks_of(target_),
                      rows = source_.padded_channels();
    for (std::size_t number = some.begin; number < some.end; ++number)
        for (std::size_t block = 0; block < targets; block += 2) {
            const std::size_t width = panel_width(block, targets);
            for (std::size_t source = 0; source < sources; ++source)
                kernels_.product_gradient[width - 1](
                    work.v + number * v_stride() + source * chunk_ * lanes_,
                    panel(work.m + number * m_stride(), block, chunk_), chunk.end - chunk.begin,
                    panel(u + number * u_stride(), block, rows) + source * lanes_ * width * lanes_,
                    chunk.begin > 0);
        }
}

}  // namespace divs::nn::cpu
