#include "conv_check.hpp"
#include "launch.hpp"
#include "vector.hpp"

namespace divs::kernels {
namespace {

constexpr int block = 256, sample_block = 64;

// A well mixed function of its input (Steele, Lea, Flood, OOPSLA 2014: SplitMix64's finaliser).
__host__ __device__ inline std::uint64_t mix(std::uint64_t x) {
    x += 0x9E3779B97F4A7C15ULL;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
    return x ^ (x >> 31);
}

template <class T>
__global__ void fill_random_kernel(T* __restrict__ to, std::size_t size, int channels, int pitch,
                                   std::uint64_t seed) {
    const std::size_t i = static_cast<std::size_t>(blockIdx.x) * block + threadIdx.x;
    if (i >= size) return;
    const float x = static_cast<float>(static_cast<std::int32_t>(mix(seed ^ mix(i)) >> 40)) * 0x1p-23F - 1.0F;
    to[i] = from_float<T>(static_cast<int>(i % static_cast<std::size_t>(pitch)) < channels ? x : 0.0F);
}

template <class T>
__global__ void count_not_finite_kernel(const T* __restrict__ values, std::size_t size,
                                        unsigned* __restrict__ count) {
    const std::size_t i = static_cast<std::size_t>(blockIdx.x) * block + threadIdx.x;
    if (i >= size) return;
    const float x = to_float(values[i]);
    if (!(x - x == 0.0F)) atomicAdd(count, 1U);
}

template <class T>
struct Sampler {
    const ConvSampleInput& input;
    const ConvShape& x;
    int group_c, group_k;

    __device__ explicit Sampler(const ConvSampleInput& from)
        : input(from), x(from.shape), group_c(x.c / x.groups), group_k(x.k / x.groups) {}

    // The (possibly shifted) input, zero outside.
    __device__ double value_in(int n, int h, int w, int c) const {
        int from = n;
        if (x.shift > 0 && c < 2 * x.shift) {
            const int step = c < x.shift ? 1 : -1, frame = n % x.frames + step;
            if (frame < 0 || frame >= x.frames) return 0;
            from = n + step;
        }
        if (h < 0 || h >= x.h || w < 0 || w >= x.w) return 0;
        const std::size_t pixel =
            (static_cast<std::size_t>(from) * static_cast<std::size_t>(x.h) + static_cast<std::size_t>(h)) *
                static_cast<std::size_t>(x.w) +
            static_cast<std::size_t>(w);
        return static_cast<double>(to_float(static_cast<const T*>(
            input.in)[pixel * static_cast<std::size_t>(x.c_pitch()) + static_cast<std::size_t>(c)]));
    }
    __device__ std::size_t place_out(int n, int p, int q, int k) const {
        return ((static_cast<std::size_t>(n) * static_cast<std::size_t>(x.p()) +
                 static_cast<std::size_t>(p)) *
                    static_cast<std::size_t>(x.q()) +
                static_cast<std::size_t>(q)) *
                   static_cast<std::size_t>(x.k_pitch()) +
               static_cast<std::size_t>(k);
    }
    __device__ double value_out(int n, int p, int q, int k) const {
        return static_cast<double>(to_float(static_cast<const T*>(input.out)[place_out(n, p, q, k)]));
    }
    __device__ double weight(int k, int c, int r, int s) const {
        const std::size_t at =
            ((static_cast<std::size_t>(k) * static_cast<std::size_t>(group_c) + static_cast<std::size_t>(c)) *
                 static_cast<std::size_t>(x.r) +
             static_cast<std::size_t>(r)) *
                static_cast<std::size_t>(x.s) +
            static_cast<std::size_t>(s);
        return static_cast<double>(to_float(from_float<T>(input.master[at])));
    }

    // This thread's part of the sum of one element; `part` of `parts` threads.
    __device__ double forward(int n, int p, int q, int k, int part, int parts) const {
        double sum = 0;
        const int group = k / group_k;
        for (int i = part; i < x.r * x.s * group_c; i += parts) {
            const int c = i % group_c, r = i / group_c / x.s, s = i / group_c % x.s;
            sum += value_in(n, p * x.stride_h - x.pad_h + r * x.dilation_h,
                            q * x.stride_w - x.pad_w + s * x.dilation_w, group * group_c + c) *
                   weight(k, c, r, s);
        }
        return sum;
    }
    // The gradient of the shifted input's element; the caller undoes the shift.
    __device__ double backward(int n, int h, int w, int c, int part, int parts) const {
        double sum = 0;
        const int group = c / group_c;
        for (int i = part; i < x.r * x.s * group_k; i += parts) {
            const int k = group * group_k + i % group_k, r = i / group_k / x.s, s = i / group_k % x.s;
            const int y = h + x.pad_h - r * x.dilation_h, z = w + x.pad_w - s * x.dilation_w;
            if (y < 0 || z < 0 || y % x.stride_h != 0 || z % x.stride_w != 0) continue;
            if (y / x.stride_h >= x.p() || z / x.stride_w >= x.q()) continue;
            sum += value_out(n, y / x.stride_h, z / x.stride_w, k) * weight(k, c - group * group_c, r, s);
        }
        return sum;
    }
    __device__ double weights(int k, int c, int r, int s, int part, int parts) const {
        double sum = 0;
        const int channel = k / group_k * group_c + c, p = x.p(), q = x.q();
        for (int i = part; i < x.n * p * q; i += parts) {
            const int n = i / (p * q), y = i / q % p, z = i % q;
            sum += value_in(n, y * x.stride_h - x.pad_h + r * x.dilation_h,
                            z * x.stride_w - x.pad_w + s * x.dilation_w, channel) *
                   value_out(n, y, z, k);
        }
        return sum;
    }
};

// A block a sample.
template <class T>
__global__ void __launch_bounds__(sample_block)
    conv_sample_kernel(const __grid_constant__ ConvSampleInput input, std::uint64_t seed,
                       float2* __restrict__ results) {
    __shared__ double sums[sample_block];
    const Sampler<T> sampler(input);
    const ConvShape& x = input.shape;
    const int part = static_cast<int>(threadIdx.x);
    const std::uint64_t draw = mix(seed + blockIdx.x), more = mix(draw);
    auto below = [](std::uint64_t& bits, int bound) {
        const auto chosen = static_cast<int>(bits % static_cast<std::uint64_t>(bound));
        bits /= static_cast<std::uint64_t>(bound);
        return chosen;
    };
    std::uint64_t bits = draw, bits2 = more;
    double sum = 0, got = 0;
    if (input.direction == 0) {
        const int n = below(bits, x.n), p = below(bits, x.p()), q = below(bits2, x.q()),
                  k = below(bits2, x.k);
        sum = sampler.forward(n, p, q, k, part, sample_block);
        got = sampler.value_out(n, p, q, k);
        if (part == 0) {
            if (input.bias) sum += static_cast<double>(input.bias[k]);
            if (input.residual)
                sum += static_cast<double>(
                    to_float(static_cast<const T*>(input.residual)[sampler.place_out(n, p, q, k)]));
        }
    } else if (input.direction == 1) {
        const int n = below(bits, x.n), h = below(bits, x.h), w = below(bits2, x.w), c = below(bits2, x.c);
        const int step = x.shift > 0 ? frame_offset(c, x.shift) : 0, frame = n % x.frames - step;
        if (frame >= 0 && frame < x.frames) sum = sampler.backward(n - step, h, w, c, part, sample_block);
        ConvShape plain = x;
        plain.shift = 0;
        ConvSampleInput unshifted = input;
        unshifted.shape = plain;
        got = Sampler<T>(unshifted).value_in(n, h, w, c);
    } else {
        const int k = below(bits, x.k), c = below(bits, sampler.group_c), r = below(bits2, x.r),
                  s = below(bits2, x.s);
        sum = sampler.weights(k, c, r, s, part, sample_block);
        got = static_cast<double>(
            input.weight_gradient[((static_cast<std::size_t>(k) * static_cast<std::size_t>(sampler.group_c) +
                                    static_cast<std::size_t>(c)) *
                                       static_cast<std::size_t>(x.r) +
                                   static_cast<std::size_t>(r)) *
                                      static_cast<std::size_t>(x.s) +
                                  static_cast<std::size_t>(s)]);
    }
    sums[part] = sum;
    __syncthreads();
    if (part != 0) return;
    for (int i = 1; i < sample_block; ++i) sum += sums[i];
    if (input.activation != ConvActivation::none && sum < 0) sum = 0;
    if (input.activation == ConvActivation::relu6 && sum > 6) sum = 6;
    results[blockIdx.x] = float2{static_cast<float>(sum), static_cast<float>(got)};
}

dim3 blocks_of(std::size_t size) {
    return dim3(static_cast<unsigned>((size + block - 1) / block));
}

}  // namespace

template <class T>
void fill_random(T* to, std::size_t pixels, int channels, int pitch, std::uint64_t seed,
                 cudaStream_t stream) {
    const std::size_t size = pixels * static_cast<std::size_t>(pitch);
    launch(blocks_of(size), dim3(block), 0, stream, fill_random_kernel<T>, to, size, channels, pitch, seed);
}
template <class T>
void count_not_finite(const T* values, std::size_t size, unsigned* count, cudaStream_t stream) {
    launch(blocks_of(size), dim3(block), 0, stream, count_not_finite_kernel<T>, values, size, count);
}
template <class T>
void conv_sample(const ConvSampleInput& input, int samples, std::uint64_t seed, float2* results,
                 cudaStream_t stream) {
    launch(dim3(static_cast<unsigned>(samples)), dim3(sample_block), 0, stream, conv_sample_kernel<T>, input,
           seed, results);
}

template void fill_random(float*, std::size_t, int, int, std::uint64_t, cudaStream_t);
template void fill_random(bf16*, std::size_t, int, int, std::uint64_t, cudaStream_t);
template void count_not_finite(const float*, std::size_t, unsigned*, cudaStream_t);
template void count_not_finite(const bf16*, std::size_t, unsigned*, cudaStream_t);
template void conv_sample<float>(const ConvSampleInput&, int, std::uint64_t, float2*, cudaStream_t);
template void conv_sample<bf16>(const ConvSampleInput&, int, std::uint64_t, float2*, cudaStream_t);

}  // namespace divs::kernels
