// Winograd's minimal filtering F(4x4, 3x3) (Lavin, Gray, "Fast Algorithms for Convolutional Neural Networks",
// CVPR 2016, arXiv 1509.09308) on tiles of `lanes` channels; included after kernels_body.hpp by each
// kernels_*.cpp.
namespace {

// Products and tiles keep rows x vectors of sums in registers: 12 x 2 of 32, or 6 x 2 of 16.
template <size_t lanes>
constexpr int product_rows = lanes == 16 ? 12 : 6;
template <size_t lanes>
constexpr int gradient_rows = lanes == 16 ? 8 : 4;

template <class V>
inline V load(const float* p) {
    V v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
}
template <class V>
inline void store(float* p, const V& v) {
    __builtin_memcpy(p, &v, sizeof v);
}

// B^T d: what six elements of an input contribute to the six products.
template <class V>
inline void transform_input(const V* d, V* v, int from, int to) {
    const V d0 = d[0], d1 = d[from], d2 = d[2 * from], d3 = d[3 * from], d4 = d[4 * from], d5 = d[5 * from];
    const V even = d4 - 4.0F * d2, odd = d3 - 4.0F * d1, wide = d4 - d2, far = 2.0F * (d3 - d1);
    v[0] = 4.0F * d0 - 5.0F * d2 + d4;
    v[to] = even + odd;
    v[2 * to] = even - odd;
    v[3 * to] = wide + far;
    v[4 * to] = wide - far;
    v[5 * to] = 4.0F * d1 - 5.0F * d3 + d5;
}

// A^T m: four outputs from six products.
template <class V>
inline void transform_output(const V* m, V* y, int from, int to) {
    const V a = m[from] + m[2 * from], b = m[from] - m[2 * from];
    const V c = m[3 * from] + m[4 * from], d = m[3 * from] - m[4 * from];
    y[0] = m[0] + a + c;
    y[to] = b + 2.0F * d;
    y[2 * to] = a + 4.0F * c;
    y[3 * to] = b + 8.0F * d + m[5 * from];
}

// A y: the transposed of transform_output, for gradients of four outputs.
template <class V>
inline void transform_output_gradient(const V* y, V* m, int from, int to) {
    const V y0 = y[0], y1 = y[from], y2 = y[2 * from], y3 = y[3 * from];
    const V even = y0 + y2, odd = y1 + y3, wide = y0 + 4.0F * y2, far = 2.0F * y1 + 8.0F * y3;
    m[0] = y0;
    m[to] = even + odd;
    m[2 * to] = even - odd;
    m[3 * to] = wide + far;
    m[4 * to] = wide - far;
    m[5 * to] = y3;
}

// G w: six numbers from three taps.
template <class V>
inline void transform_weights(const V* w, V* u, int from, int to) {
    const V w0 = w[0], w1 = w[from], w2 = w[2 * from];
    const V near = (w0 + w2) * (-1.0F / 6.0F), side = w1 * (1.0F / 6.0F);
    const V far = w0 * (1.0F / 24.0F) + w2 * (1.0F / 6.0F), off = w1 * (1.0F / 12.0F);
    u[0] = w0 * 0.25F;
    u[to] = near - side;
    u[2 * to] = near + side;
    u[3 * to] = far + off;
    u[4 * to] = far - off;
    u[5 * to] = w2;
}

// G^T u: the transposed of transform_weights.
template <class V>
inline void transform_weights_gradient(const V* u, V* w, int from, int to) {
    const V a = u[from] + u[2 * from], b = u[2 * from] - u[from];
    const V c = u[3 * from] + u[4 * from], d = u[3 * from] - u[4 * from];
    w[0] = 0.25F * u[0] - a * (1.0F / 6.0F) + c * (1.0F / 24.0F);
    w[to] = b * (1.0F / 6.0F) + d * (1.0F / 12.0F);
    w[2 * to] = (c - a) * (1.0F / 6.0F) + u[5 * from];
}

// Calls f(index within the tile, pointer or null) for size x size elements from (y, x) of an image; null
// outside.
template <int size, size_t lanes, class T, class F>
inline void for_each_element(T* image, const WinogradTile& tile, F f) {
    for (int i = 0; i < size; ++i)
        for (int j = 0; j < size; ++j) {
            const int y = tile.y + i, x = tile.x + j;
            const bool inside = y >= 0 && y < tile.height && x >= 0 && x < tile.width;
            f(i * size + j, inside ? image + (static_cast<size_t>(y) * static_cast<size_t>(tile.width) +
                                              static_cast<size_t>(x)) *
                                                 lanes
                                   : nullptr);
        }
}

template <size_t lanes>
inline void winograd_input_vector(const float* image, const WinogradTile& tile, float* v, size_t stride) {
    using V = typename Vectors<lanes>::Floats;
    V d[36], half[36], full[6];
    for_each_element<6, lanes>(image, tile, [&](int i, const float* p) { d[i] = p ? load<V>(p) : V{}; });
    for (int j = 0; j < 6; ++j) transform_input(d + j, half + j, 6, 6);
    for (int i = 0; i < 6; ++i) {
        transform_input(half + 6 * i, full, 1, 1);
        for (int j = 0; j < 6; ++j) store(v + static_cast<size_t>(6 * i + j) * stride, full[j]);
    }
}

template <Curve curve, class V>
inline V bend_vector(V x) {  // as bend()
    if constexpr (curve == Curve::none) return x;
    x = x < 0.0F ? V{} : x;
    if constexpr (curve == Curve::relu6) x = x > 6.0F ? V{} + 6.0F : x;
    return x;
}

template <size_t lanes>
inline void winograd_output_vector(const float* m, size_t stride, float* image, const WinogradTile& tile,
                                   const Finish& finish) {
    using V = typename Vectors<lanes>::Floats;
    V half[24], y[16], column[6];
    for (int j = 0; j < 6; ++j) {
        for (int i = 0; i < 6; ++i) column[i] = load<V>(m + static_cast<size_t>(6 * i + j) * stride);
        transform_output(column, half + j, 1, 6);
    }
    for (int i = 0; i < 4; ++i) transform_output(half + 6 * i, y + 4 * i, 1, 1);
    const V bias = finish.bias ? load<V>(finish.bias) : V{};
    with_curve(finish.curve, [&](auto k) {
        for_each_element<4, lanes>(image, tile, [&](int i, float* p) {
            if (!p) return;
            V sum = y[i] + bias;
            if (finish.residual) sum += load<V>(finish.residual + (p - image));
            store(p, bend_vector<decltype(k)::curve>(sum));
        });
    });
}

template <size_t lanes>
inline void winograd_output_gradient_vector(const float* image, const WinogradTile& tile, float* m,
                                            size_t stride) {
    using V = typename Vectors<lanes>::Floats;
    V y[16], half[24], full[6];
    for_each_element<4, lanes>(image, tile, [&](int i, const float* p) { y[i] = p ? load<V>(p) : V{}; });
    for (int j = 0; j < 4; ++j) transform_output_gradient(y + j, half + j, 4, 4);
    for (int i = 0; i < 6; ++i) {
        transform_output_gradient(half + 4 * i, full, 1, 1);
        for (int j = 0; j < 6; ++j) store(m + static_cast<size_t>(6 * i + j) * stride, full[j]);
    }
}

template <size_t lanes>
inline void winograd_weights_vector(const float* taps, float* u, size_t stride) {
    using V = typename Vectors<lanes>::Floats;
    V w[9], half[18], full[6];
    for (int i = 0; i < 9; ++i) w[i] = load<V>(taps + static_cast<size_t>(i) * lanes);
    for (int j = 0; j < 3; ++j) transform_weights(w + j, half + j, 3, 3);
    for (int i = 0; i < 6; ++i) {
        transform_weights(half + 3 * i, full, 1, 1);
        for (int j = 0; j < 6; ++j) store(u + static_cast<size_t>(6 * i + j) * stride, full[j]);
    }
}

template <size_t lanes>
inline void winograd_weights_gradient_vector(const float* u, size_t stride, float* taps) {
    using V = typename Vectors<lanes>::Floats;
    V half[18], column[6], w[3];
    for (int j = 0; j < 6; ++j) {
        for (int i = 0; i < 6; ++i) column[i] = load<V>(u + static_cast<size_t>(6 * i + j) * stride);
        transform_weights_gradient(column, half + j, 1, 6);
    }
    for (int i = 0; i < 3; ++i) {
        transform_weights_gradient(half + 6 * i, w, 1, 1);
        for (int j = 0; j < 3; ++j) store(taps + static_cast<size_t>(3 * i + j) * lanes, w[j]);
    }
}

// sums[i][j] += a[i x row] b[j]: one step of an outer product, all of it in registers.
template <size_t lanes, int rows, int vectors, size_t row, class V>
inline __attribute__((always_inline)) void outer_step(V (&sums)[rows][vectors], const float* a,
                                                      const float* b) {
    V right[vectors];
#pragma GCC unroll 4
    for (int j = 0; j < vectors; ++j) right[j] = load<V>(b + static_cast<size_t>(j) * lanes);
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
        const float left = a[static_cast<size_t>(i) * row];
#pragma GCC unroll 4
        for (int j = 0; j < vectors; ++j) sums[i][j] += right[j] * left;
    }
}

// `rows` tiles: m (rows, vectors x lanes) = v (blocks, tiles, lanes) u (blocks x lanes, vectors x lanes).
template <size_t lanes, int rows, int vectors>
inline void product_tile(const float* v, size_t block_stride, size_t blocks, const float* u, float* m) {
    using V = typename Vectors<lanes>::Floats;
    V sums[rows][vectors] = {};
    for (size_t block = 0; block < blocks; ++block, v += block_stride)
        for (size_t c = 0; c < lanes; ++c, u += vectors * lanes)
            outer_step<lanes, rows, vectors, lanes>(sums, v + c, u);
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i)
#pragma GCC unroll 4
        for (int j = 0; j < vectors; ++j)
            store(m + (static_cast<size_t>(i) * vectors + static_cast<size_t>(j)) * lanes, sums[i][j]);
}

template <size_t lanes, int vectors>
inline void product_vectors(const float* v, size_t block_stride, size_t blocks, const float* u, float* m,
                            size_t tiles) {
    constexpr int rows = product_rows<lanes>;
    size_t t = 0;
    for (; t + rows <= tiles; t += rows)
        product_tile<lanes, rows, vectors>(v + t * lanes, block_stride, blocks, u, m + t * vectors * lanes);
    for (; t + 4 <= tiles; t += 4)
        product_tile<lanes, 4, vectors>(v + t * lanes, block_stride, blocks, u, m + t * vectors * lanes);
    for (; t < tiles; ++t)
        product_tile<lanes, 1, vectors>(v + t * lanes, block_stride, blocks, u, m + t * vectors * lanes);
}

// u (lanes of one block of inputs, vectors x lanes) (+)= v^T m over the tiles.
template <size_t lanes, int vectors>
inline void product_gradient_vectors(const float* v, const float* m, size_t tiles, float* u, bool add) {
    using V = typename Vectors<lanes>::Floats;
    constexpr int rows = gradient_rows<lanes>;
    for (size_t c = 0; c < lanes; c += rows) {
        V sums[rows][vectors] = {};
        for (size_t t = 0; t < tiles; ++t)
            outer_step<lanes, rows, vectors, 1>(sums, v + t * lanes + c, m + t * vectors * lanes);
        for (int i = 0; i < rows; ++i)
            for (int j = 0; j < vectors; ++j) {
                float* place = u + ((c + static_cast<size_t>(i)) * vectors + static_cast<size_t>(j)) * lanes;
                store(place, add ? sums[i][j] + load<V>(place) : sums[i][j]);
            }
    }
}

template <size_t lanes>
constexpr divs::nn::cpu::WinogradKernels winograd_table() {
    return {winograd_input_vector<lanes>,
            winograd_output_vector<lanes>,
            winograd_output_gradient_vector<lanes>,
            winograd_weights_vector<lanes>,
            winograd_weights_gradient_vector<lanes>,
            {product_vectors<lanes, 1>, product_vectors<lanes, 2>},
            {product_gradient_vectors<lanes, 1>, product_gradient_vectors<lanes, 2>}};
}

}  // namespace
