// The LSTM cell against its definition in double, and against finite differences.
#include <cmath>
#include <vector>

#include "device_values.hpp"
#include "divs/core/random.hpp"
#include "kernels/lstm.hpp"
#include "kernels/vector.hpp"
#include "orders.hpp"

using namespace divs;
using divs::test::in_all_orders;
using kernels::from_float;
using kernels::to_float;

namespace {

using Doubles = std::vector<double>;

struct Cell {
    Doubles c, h;
};

double sigmoid(double x) {
    return 1 / (1 + std::exp(-x));
}

Cell cell_of(const Doubles& gates, const Doubles& before, std::size_t rows, std::size_t width) {
    Cell cell{Doubles(rows * width), Doubles(rows * width)};
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
double score(const Cell& cell, const Doubles& dc, const Doubles& dh) {
    double sum = 0;
    for (std::size_t i = 0; i < cell.c.size(); ++i) sum += dc[i] * cell.c[i] + dh[i] * cell.h[i];
    return sum;
}

// The slope of the score in each element of `values`, which `evaluate` reads.
template <class Evaluate>
Doubles slopes(Doubles& values, const Evaluate& evaluate) {
    constexpr double step = 1e-5;
    Doubles found;
    for (double& value : values) {
        const double kept = value;
        value = kept + step;
        const double up = evaluate();
        value = kept - step;
        found.push_back((up - evaluate()) / (2 * step));
        value = kept;
    }
    return found;
}

// Numbers that bfloat16 holds, of half the size that a sum of two of them is to have.
Doubles drawn(std::size_t n, std::uint64_t which) {
    const Random random(divs::test::run_seed(), Stream::test, which);
    Doubles values(n);
    for (std::size_t i = 0; i < n; ++i)
        values[i] = static_cast<double>(
            to_float(from_float<kernels::bf16>(static_cast<float>(random.normal(i) / std::sqrt(2.0)))));
    return values;
}

Doubles sum_of(const Doubles& a, const Doubles& b) {
    Doubles sum(a);
    for (std::size_t i = 0; i < b.size(); ++i) sum[i] += b[i];
    return sum;
}

constexpr std::size_t clips = 3, frames = 4, width = 37, pitch = 40, gate_pitch = 152;
const kernels::LstmStep layout{clips, frames, width, pitch, gate_pitch};

// Rows of `count` numbers, `apart` rows from one to the next, in an array of NaN.
template <class T>
std::vector<T> laid_out(const Doubles& rows, std::size_t count, std::size_t row_pitch, std::size_t apart) {
    std::vector<T> array(clips * apart * row_pitch, from_float<T>(NAN));
    for (std::size_t r = 0; r < clips; ++r)
        for (std::size_t k = 0; k < count && !rows.empty(); ++k)
            array[r * apart * row_pitch + k] = from_float<T>(static_cast<float>(rows[r * count + k]));
    return array;
}

// An array on the device, of the step or of the clips: then only every row `frames` apart is this frame's.
template <class T>
class Array {
  public:
    Array(const Doubles& rows, std::size_t count, bool of_clips)
        : count_(count),
          pitch_(count > width ? gate_pitch : pitch),
          apart_(of_clips ? frames : 1),
          values_(laid_out<T>(rows, count, pitch_, apart_)) {}
    T* data() const { return values_.data(); }

    // Nothing may be written but these rows; what pads them is `padding`, or untouched where that is NaN.
    void check(const Doubles& expected, double margin, double padding = NAN) const {
        const std::vector<T> all = values_.read();
        std::size_t wrong = 0;
        for (std::size_t i = 0; i < all.size(); ++i) {
            const std::size_t row = i / pitch_, k = i % pitch_;
            const double value = static_cast<double>(to_float(all[i]));
            const double wanted = row % apart_ != 0 ? NAN
                                  : k < count_      ? expected[row / apart_ * count_ + k]
                                                    : padding;
            const bool same = std::isnan(wanted) ? std::isnan(value) : std::abs(value - wanted) < margin;
            wrong += !same;
        }
        CHECK(wrong == 0);
    }

  private:
    std::size_t count_, pitch_, apart_;
    kernels::test::DeviceValues<T> values_;
};

// margin: of a number of size 1 that T holds.
template <class T>
void check_cell(double margin) {
    const Doubles x = drawn(clips * 4 * width, 0), recurrent = drawn(clips * 4 * width, 1),
                  before = drawn(clips * width, 2), dc = drawn(clips * width, 3),
                  dh = drawn(clips * width, 4), dh_later = drawn(clips * width, 5);
    Doubles gates = sum_of(x, recurrent), state = before;
    const Doubles dh_all = sum_of(dh, dh_later);
    const auto evaluate = [&] { return score(cell_of(gates, state, clips, width), dc, dh_all); };
    const Cell expected = cell_of(gates, state, clips, width);
    const Doubles gate_slopes = slopes(gates, evaluate), state_slopes = slopes(state, evaluate);
    in_all_orders([&] {
        const Array<T> from_input(x, 4 * width, true), step_gates(recurrent, 4 * width, false),
            h({}, width, false), output({}, width, true), dh_clips(dh, width, true),
            dh_step(dh_later, width, false), dgates({}, 4 * width, false), dx({}, 4 * width, true);
        const Array<float> c_before(before, width, false), values({}, 4 * width, false), c({}, width, false),
            dc_step(dc, width, false);
        kernels::lstm_cell<T>(from_input.data(), step_gates.data(), c_before.data(), layout, values.data(),
                              c.data(), h.data(), output.data(), nullptr);
        c.check(expected.c, 2e-6);
        h.check(expected.h, margin, 0);
        output.check(expected.h, margin, 0);
        kernels::lstm_cell_backward<T>(values.data(), c_before.data(), c.data(), dh_clips.data(),
                                       dh_step.data(), layout, dc_step.data(), dgates.data(), dx.data(),
                                       nullptr);
        dgates.check(gate_slopes, 5 * margin);
        dx.check(gate_slopes, 5 * margin);
        dc_step.check(state_slopes, 1e-5);
    });
}

}  // namespace

TEST_CASE("The LSTM cell is its definition, and its gradient the differences', in float32") {
    check_cell<float>(2e-6);
}

TEST_CASE("The LSTM cell is its definition, and its gradient the differences', in bfloat16") {
    check_cell<kernels::bf16>(0x1p-8);
}
