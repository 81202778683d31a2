// The LSTM cell against its definition in double, and against finite differences.
#include <cmath>
#include <vector>

#include "device_values.hpp"
#include "divs/core/random.hpp"
#include "kernels/lstm.hpp"
#include "orders.hpp"

using namespace divs;
using divs::test::in_all_orders;

namespace {

struct Cell {
    std::vector<double> c, h;
};

double sigmoid(double x) {
    return 1 / (1 + std::exp(-x));
}

Cell cell_of(const std::vector<double>& gates, const std::vector<double>& before, std::size_t rows,
             std::size_t width) {
    Cell cell{std::vector<double>(rows * width), std::vector<double>(rows * width)};
    for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t k = 0; k < width; ++k) {
            const double* g = gates.data() + r * 4 * width + k;
            const double c =
                sigmoid(g[width]) * before[r * width + k] + sigmoid(g[0]) * std::tanh(g[2 * width]);
            cell.c[r * width + k] = c;
            cell.h[r * width + k] = sigmoid(g[3 * width]) * std::tanh(c);
        }
    return cell;
}

// A weighted sum of c and h: what is differentiated.
double score(const Cell& cell, const std::vector<double>& dc, const std::vector<double>& dh) {
    double sum = 0;
    for (std::size_t i = 0; i < cell.c.size(); ++i) sum += dc[i] * cell.c[i] + dh[i] * cell.h[i];
    return sum;
}

std::vector<double> drawn(std::size_t n, std::uint64_t which) {
    const Random random(divs::test::run_seed(), Stream::test, which);
    std::vector<double> values(n);
    for (std::size_t i = 0; i < n; ++i) values[i] = static_cast<double>(static_cast<float>(random.normal(i)));
    return values;
}

std::vector<float> floats(const std::vector<double>& values) {
    return {values.begin(), values.end()};
}

}  // namespace

TEST_CASE("The LSTM cell is its definition, and its gradient the differences'") {
    constexpr std::size_t rows = 3, width = 37;
    const auto gates = drawn(rows * 4 * width, 0), before = drawn(rows * width, 1),
               dc = drawn(rows * width, 2), dh = drawn(rows * width, 3);
    const Cell expected = cell_of(gates, before, rows, width);
    in_all_orders([&] {
        const kernels::LstmShape shape{static_cast<int>(rows), static_cast<int>(width)};
        using Values = kernels::test::DeviceValues<float>;
        const Values g(floats(gates)), c_before(floats(before)), grad_h(floats(dh)), grad_c_values(floats(dc)),
            c_values(std::vector<float>(rows * width, NAN)), h_values(std::vector<float>(rows * width, NAN)),
            dgates_values(std::vector<float>(rows * 4 * width, NAN));
        kernels::lstm_cell(g.data(), c_before.data(), shape, c_values.data(), h_values.data(), nullptr);
        kernels::lstm_cell_backward(g.data(), c_before.data(), c_values.data(), grad_h.data(), shape,
                                    grad_c_values.data(), dgates_values.data(), nullptr);
        const auto c = c_values.read(), h = h_values.read(), grad_c = grad_c_values.read(),
                   dgates = dgates_values.read();
        for (std::size_t i = 0; i < rows * width; ++i) {
            CHECK(static_cast<double>(c[i]) == Approx(expected.c[i]).margin(2e-6));
            CHECK(static_cast<double>(h[i]) == Approx(expected.h[i]).margin(2e-6));
        }
        constexpr double step = 1e-5;
        for (std::size_t i = 0; i < gates.size(); ++i) {
            auto up = gates, down = gates;
            up[i] += step;
            down[i] -= step;
            const double slope = (score(cell_of(up, before, rows, width), dc, dh) -
                                  score(cell_of(down, before, rows, width), dc, dh)) /
                                 (2 * step);
            CHECK(static_cast<double>(dgates[i]) == Approx(slope).margin(1e-5));
        }
        for (std::size_t i = 0; i < before.size(); ++i) {
            auto up = before, down = before;
            up[i] += step;
            down[i] -= step;
            const double slope = (score(cell_of(gates, up, rows, width), dc, dh) -
                                  score(cell_of(gates, down, rows, width), dc, dh)) /
                                 (2 * step);
            CHECK(static_cast<double>(grad_c[i]) == Approx(slope).margin(1e-5));
        }
    });
}
