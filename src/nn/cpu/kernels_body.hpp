// The loops of kernels.hpp, included once by each kernels_*.cpp. Only built-in operations here: an inline
// function of a library compiled with this file's instruction set could end up in the whole program.
namespace {

using divs::nn::cpu::AdamwStep;
using divs::nn::cpu::Curve;
using divs::nn::cpu::Finish;
using divs::nn::cpu::PoolWindow;
using divs::nn::cpu::SgdStep;
using divs::nn::cpu::WinogradTile;
using std::size_t;

constexpr size_t chunk = 64;   // pixels that are summed in float before they join a double
constexpr size_t widest = 64;  // channels that one pass of a reduction takes

template <Curve curve>
inline float bend(float x) {  // a NaN stays one
    if constexpr (curve == Curve::none) return x;
    x = x < 0.0F ? 0.0F : x;
    if constexpr (curve == Curve::relu6) x = x > 6.0F ? 6.0F : x;
    return x;
}

template <Curve curve>
inline float pass(float y, float dy) {  // dy where the curve is not flat
    if constexpr (curve == Curve::none) return dy;
    if constexpr (curve == Curve::relu) return y > 0.0F ? dy : 0.0F;
    return (y > 0.0F) & (y < 6.0F) ? dy : 0.0F;
}

// Calls f with the curve, the number of lanes or both as a constant, so that the loops have fixed bounds.
template <Curve value>
struct CurveConstant {
    static constexpr Curve curve = value;
};
template <size_t value>
struct LaneConstant {
    static constexpr size_t lanes = value;  // 0: known at run time only
};

template <class F>
inline void with_curve(Curve curve, F f) {
    if (curve == Curve::none)
        f(CurveConstant<Curve::none>{});
    else if (curve == Curve::relu)
        f(CurveConstant<Curve::relu>{});
    else
        f(CurveConstant<Curve::relu6>{});
}
template <class F>
inline void with_lanes(size_t lanes, F f) {
    if (lanes == 16)
        f(LaneConstant<16>{});
    else if (lanes == 8)
        f(LaneConstant<8>{});
    else
        f(LaneConstant<0>{});
}

// Sums two functions of each element by channel: element(i, channel, a, b) gives both. `width` channels from
// `first`.
template <size_t fixed, class F>
inline void reduce_two(size_t pixels, size_t lanes, size_t first, size_t runtime_width, double* sums,
                       double* others, F element) {
    const size_t width = fixed ? fixed : runtime_width;
    constexpr size_t room = fixed ? fixed : widest;
    for (size_t begin = 0; begin < pixels; begin += chunk) {
        const size_t end = begin + chunk < pixels ? begin + chunk : pixels;
        alignas(64) float a[2][room] = {}, b[2][room] = {};
        size_t p = begin;
        for (; p + 2 <= end; p += 2)  // two chains each hide the latency of the additions
            for (size_t k = 0; k < 2; ++k)
#pragma omp simd
                for (size_t c = 0; c < width; ++c)
                    element((p + k) * lanes + first + c, first + c, a[k][c], b[k][c]);
        for (; p < end; ++p)
#pragma omp simd
            for (size_t c = 0; c < width; ++c) element(p * lanes + first + c, first + c, a[0][c], b[0][c]);
        for (size_t c = 0; c < width; ++c) {
            sums[first + c] += static_cast<double>(a[0][c]) + static_cast<double>(a[1][c]);
            others[first + c] += static_cast<double>(b[0][c]) + static_cast<double>(b[1][c]);
        }
    }
}

template <class F>
inline void reduce_channels(size_t pixels, size_t lanes, double* sums, double* others, F element) {
    if (lanes == 16) return reduce_two<16>(pixels, 16, 0, 16, sums, others, element);
    if (lanes == 8) return reduce_two<8>(pixels, 8, 0, 8, sums, others, element);
    for (size_t first = 0; first < lanes; first += widest)
        reduce_two<0>(pixels, lanes, first, lanes - first < widest ? lanes - first : widest, sums, others,
                      element);
}

void norm_measure(const float* x, size_t pixels, size_t lanes, const float* shift, double* sum,
                  double* square) {
    reduce_channels(pixels, lanes, sum, square, [=](size_t i, size_t c, float& a, float& b) {
        const float d = x[i] - shift[c];
        a += d;
        b += d * d;
    });
}

void norm_sums(const float* x, const float* y, const float* dy, size_t pixels, size_t lanes,
               const float* mean, Curve curve, double* sum, double* product) {
    with_curve(curve, [=](auto k) {
        reduce_channels(pixels, lanes, sum, product, [=](size_t i, size_t c, float& a, float& b) {
            const float g = pass<decltype(k)::curve>(y[i], dy[i]);
            a += g;
            b += g * (x[i] - mean[c]);
        });
    });
}

void norm_apply(const float* x, const float* residual, float* y, size_t pixels, size_t lanes,
                const float* scale, const float* offset, Curve curve) {
    with_curve(curve, [=](auto k) {
        with_lanes(lanes, [=](auto fixed) {
            const size_t width = fixed.lanes ? fixed.lanes : lanes;
            for (size_t p = 0; p < pixels; ++p) {
                const size_t row = p * width;
                if (residual)
#pragma omp simd
                    for (size_t c = 0; c < width; ++c)
                        y[row + c] =
                            bend<decltype(k)::curve>(x[row + c] * scale[c] + offset[c] + residual[row + c]);
                else
#pragma omp simd
                    for (size_t c = 0; c < width; ++c)
                        y[row + c] = bend<decltype(k)::curve>(x[row + c] * scale[c] + offset[c]);
            }
        });
    });
}

void norm_gradient(const float* x, const float* y, const float* dy, float* dx, float* dr, size_t pixels,
                   size_t lanes, const float* mean, const float* a, const float* b, const float* c,
                   Curve curve) {
    with_curve(curve, [=](auto k) {
        with_lanes(lanes, [=](auto fixed) {
            const size_t width = fixed.lanes ? fixed.lanes : lanes;
            for (size_t p = 0; p < pixels; ++p) {
                const size_t row = p * width;
                if (dx && dr) {
#pragma omp simd
                    for (size_t j = 0; j < width; ++j) {
                        const float g = pass<decltype(k)::curve>(y[row + j], dy[row + j]);
                        dr[row + j] = g;
                        dx[row + j] = a[j] * g + (b[j] * (x[row + j] - mean[j]) + c[j]);
                    }
                } else if (dx) {
#pragma omp simd
                    for (size_t j = 0; j < width; ++j)
                        dx[row + j] = a[j] * pass<decltype(k)::curve>(y[row + j], dy[row + j]) +
                                      (b[j] * (x[row + j] - mean[j]) + c[j]);
                } else if (dr) {
#pragma omp simd
                    for (size_t j = 0; j < width; ++j)
                        dr[row + j] = pass<decltype(k)::curve>(y[row + j], dy[row + j]);
                }
            }
        });
    });
}

void add(const float* x1, const float* x2, float* y, size_t n, Curve curve) {
    with_curve(curve, [=](auto k) {
        if (x2)
#pragma omp simd
            for (size_t i = 0; i < n; ++i) y[i] = bend<decltype(k)::curve>(x1[i] + x2[i]);
        else
#pragma omp simd
            for (size_t i = 0; i < n; ++i) y[i] = bend<decltype(k)::curve>(x1[i]);
    });
}

void curve_gradient(const float* y, const float* dy, float* dx, size_t n, Curve curve) {
    with_curve(curve, [=](auto k) {
#pragma omp simd
        for (size_t i = 0; i < n; ++i) dx[i] = pass<decltype(k)::curve>(y[i], dy[i]);
    });
}

void accumulate(const float* x, float* y, size_t n) {
#pragma omp simd
    for (size_t i = 0; i < n; ++i) y[i] += x[i];
}

void scale(const float* x, float* y, size_t n, float factor) {
#pragma omp simd
    for (size_t i = 0; i < n; ++i) y[i] = x[i] * factor;
}

void add_scaled(const float* x, float* y, size_t n, float factor) {
#pragma omp simd
    for (size_t i = 0; i < n; ++i) y[i] += x[i] * factor;
}

// Calls f(pointer to the lanes of a tap, number of the tap) for every tap of a window.
template <class T, class F>
inline void for_each_tap(T* image, size_t width, size_t lanes, const PoolWindow& window, int kernel_w,
                         int first_tap, F f) {
    for (int h = window.h0; h < window.h1; ++h)
        for (int w = window.w0; w < window.w1; ++w)
            f(image + (static_cast<size_t>(h) * width + static_cast<size_t>(w)) * lanes,
              first_tap + (h - window.h0) * kernel_w + (w - window.w0));
}

// Vectors of 8 and 16 lanes; where the processor's are shorter the compiler splits them.
template <size_t lanes>
struct Vectors;
template <>
struct Vectors<8> {
    using Floats = float __attribute__((vector_size(32)));
    using Numbers = std::int32_t __attribute__((vector_size(32)));
    using Shorts = std::uint16_t __attribute__((vector_size(16)));
};
template <>
struct Vectors<16> {
    using Floats = float __attribute__((vector_size(64)));
    using Numbers = std::int32_t __attribute__((vector_size(64)));
    using Shorts = std::uint16_t __attribute__((vector_size(32)));
};

// One output pixel of `lanes` channels, held in vectors; the first largest wins, and a NaN over all.
template <size_t lanes>
inline void max_pool_vector(const float* image, size_t width, PoolWindow window, int kernel_w, int first_tap,
                            float* y, std::uint16_t* tap) {
    using Floats = typename Vectors<lanes>::Floats;
    using Numbers = typename Vectors<lanes>::Numbers;
    using Shorts = typename Vectors<lanes>::Shorts;
    Floats best;
    __builtin_memcpy(
        &best, image + (static_cast<size_t>(window.h0) * width + static_cast<size_t>(window.w0)) * lanes,
        sizeof best);
    Numbers winner = Numbers{} + first_tap;
    for_each_tap(image, width, lanes, window, kernel_w, first_tap, [&](const float* x, int number) {
        Floats here;
        __builtin_memcpy(&here, x, sizeof here);
        const Numbers wins = (here > best) | (here != here);
        best = wins ? here : best;
        winner = wins ? Numbers{} + number : winner;
    });
    const Shorts numbers = __builtin_convertvector(winner, Shorts);
    __builtin_memcpy(y, &best, sizeof best);
    __builtin_memcpy(tap, &numbers, sizeof numbers);
}

void max_pool(const float* image, size_t width, size_t lanes, PoolWindow window, int kernel_w, int first_tap,
              float* y, std::uint16_t* tap) {
    if (lanes == 16) return max_pool_vector<16>(image, width, window, kernel_w, first_tap, y, tap);
    if (lanes == 8) return max_pool_vector<8>(image, width, window, kernel_w, first_tap, y, tap);
    for (size_t c = 0; c < lanes; ++c) {
        y[c] = -__builtin_inff();
        tap[c] = static_cast<std::uint16_t>(first_tap);
    }
    for_each_tap(image, width, lanes, window, kernel_w, first_tap, [&](const float* x, int number) {
#pragma omp simd
        for (size_t c = 0; c < lanes; ++c) {
            const bool wins = (x[c] > y[c]) | (x[c] != x[c]);
            y[c] = wins ? x[c] : y[c];
            tap[c] = wins ? static_cast<std::uint16_t>(number) : tap[c];
        }
    });
}

template <size_t lanes>
inline void max_pool_gradient_vector(float* image, size_t width, PoolWindow window, int kernel_w,
                                     int first_tap, const float* dy, const std::uint16_t* tap) {
    using Floats = typename Vectors<lanes>::Floats;
    using Numbers = typename Vectors<lanes>::Numbers;
    using Shorts = typename Vectors<lanes>::Shorts;
    Floats gradient;
    Shorts numbers;
    __builtin_memcpy(&gradient, dy, sizeof gradient);
    __builtin_memcpy(&numbers, tap, sizeof numbers);
    const Numbers winner = __builtin_convertvector(numbers, Numbers);
    for_each_tap(image, width, lanes, window, kernel_w, first_tap, [&](float* x, int number) {
        Floats here;
        __builtin_memcpy(&here, x, sizeof here);
        here += winner == number ? gradient : Floats{};
        __builtin_memcpy(x, &here, sizeof here);
    });
}

void max_pool_gradient(float* image, size_t width, size_t lanes, PoolWindow window, int kernel_w,
                       int first_tap, const float* dy, const std::uint16_t* tap) {
    if (lanes == 16) return max_pool_gradient_vector<16>(image, width, window, kernel_w, first_tap, dy, tap);
    if (lanes == 8) return max_pool_gradient_vector<8>(image, width, window, kernel_w, first_tap, dy, tap);
    for_each_tap(image, width, lanes, window, kernel_w, first_tap, [&](float* x, int number) {
#pragma omp simd
        for (size_t c = 0; c < lanes; ++c) x[c] += tap[c] == number ? dy[c] : 0.0F;
    });
}

void average_pool(const float* image, size_t width, size_t lanes, PoolWindow window, float* y) {
    const float share = 1.0F / static_cast<float>((window.h1 - window.h0) * (window.w1 - window.w0));
    for (size_t c = 0; c < lanes; ++c) y[c] = 0.0F;
    for (int h = window.h0; h < window.h1; ++h)
        for (int w = window.w0; w < window.w1; ++w)
            accumulate(image + (static_cast<size_t>(h) * width + static_cast<size_t>(w)) * lanes, y, lanes);
    scale(y, y, lanes, share);
}

void average_pool_gradient(float* image, size_t width, size_t lanes, PoolWindow window, const float* dy) {
    const float share = 1.0F / static_cast<float>((window.h1 - window.h0) * (window.w1 - window.w0));
    for (int h = window.h0; h < window.h1; ++h)
        for (int w = window.w0; w < window.w1; ++w)
            add_scaled(dy, image + (static_cast<size_t>(h) * width + static_cast<size_t>(w)) * lanes, lanes,
                       share);
}

void sgd(const SgdStep& step, float* parameters, const float* gradients, float* velocity, size_t n) {
    const SgdStep s = step;
    if (!velocity) {
#pragma omp simd
        for (size_t i = 0; i < n; ++i)
            parameters[i] -= s.rate * (s.scale * gradients[i] + s.decay * parameters[i]);
        return;
    }
    const float straight = s.nesterov ? 1.0F : 0.0F, along = s.nesterov ? s.momentum : 1.0F;
#pragma omp simd
    for (size_t i = 0; i < n; ++i) {
        const float g = s.scale * gradients[i] + s.decay * parameters[i];
        velocity[i] = s.momentum * velocity[i] + g;
        parameters[i] -= s.rate * (straight * g + along * velocity[i]);
    }
}

void adamw(const AdamwStep& step, float* parameters, const float* gradients, float* first, float* second,
           size_t n) {
    const AdamwStep s = step;
#pragma omp simd
    for (size_t i = 0; i < n; ++i) {
        const float g = s.scale * gradients[i];
        first[i] = s.beta1 * first[i] + s.rest1 * g;
        second[i] = s.beta2 * second[i] + s.rest2 * g * g;
        const float size = __builtin_sqrtf(second[i]) * s.correction2 + s.epsilon;
        parameters[i] = parameters[i] * (1.0F - s.rate * s.decay) - s.rate * s.correction1 * first[i] / size;
    }
}

double squares(const float* x, size_t n) {
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    return sum;
}

}  // namespace
