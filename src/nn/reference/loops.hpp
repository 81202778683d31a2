// The oracle: every operation in plain loops over NHWC that accumulate in double. T is float in the backend,
// and double where gradients are compared with finite differences.
#pragma once

#include <memory>
#include <vector>

#include "divs/nn/backend.hpp"

namespace divs::nn::reference {

template <class T>
struct Operands {
    std::vector<const T*> inputs;
    T* output = nullptr;
    const T* output_gradient = nullptr;
    std::vector<T*> input_gradients;  // null where none is wanted
    std::vector<const T*> values;     // parameters
    std::vector<T*> gradients, buffers;
    StepContext step;
};

template <class T>
class Loops {
  public:
    virtual ~Loops() = default;
    virtual void forward(const Operands<T>& operands) = 0;
    virtual void backward(const Operands<T>& operands) = 0;
    virtual void forward_empty(const Operands<T>&) {}
    virtual void backward_empty(const Operands<T>&) {}
};

template <class T>
std::unique_ptr<Loops<T>> make_loops(const Op& op, const std::vector<Shape>& inputs,
                                     const PlanOptions& options);

// One maker a kind of operation; make_loops() picks.
template <class T>
std::unique_ptr<Loops<T>> make(const Conv2d& op, const std::vector<Shape>& inputs, const PlanOptions&);
template <class T>
std::unique_ptr<Loops<T>> make(const BatchNorm& op, const std::vector<Shape>& inputs, const PlanOptions&);
template <class T>
std::unique_ptr<Loops<T>> make(const Activate& op, const std::vector<Shape>& inputs, const PlanOptions&);
template <class T>
std::unique_ptr<Loops<T>> make(const Add& op, const std::vector<Shape>& inputs, const PlanOptions&);
template <class T>
std::unique_ptr<Loops<T>> make(const Pool& op, const std::vector<Shape>& inputs, const PlanOptions&);
template <class T>
std::unique_ptr<Loops<T>> make(const AdaptiveAveragePool& op, const std::vector<Shape>& inputs,
                               const PlanOptions&);
template <class T>
std::unique_ptr<Loops<T>> make(const Linear& op, const std::vector<Shape>& inputs, const PlanOptions&);
template <class T>
std::unique_ptr<Loops<T>> make(const Dropout& op, const std::vector<Shape>& inputs, const PlanOptions&);
template <class T>
std::unique_ptr<Loops<T>> make(const TemporalShift& op, const std::vector<Shape>& inputs, const PlanOptions&);
template <class T>
std::unique_ptr<Loops<T>> make(const FrameMean& op, const std::vector<Shape>& inputs, const PlanOptions&);
template <class T>
std::unique_ptr<Loops<T>> make(const Lstm& op, const std::vector<Shape>& inputs, const PlanOptions&);

// Element of an NHWC tensor.
inline std::size_t at(const Shape& s, int n, int h, int w, int c) {
    return ((static_cast<std::size_t>(n) * static_cast<std::size_t>(s.h) + static_cast<std::size_t>(h)) *
                static_cast<std::size_t>(s.w) +
            static_cast<std::size_t>(w)) *
               static_cast<std::size_t>(s.c) +
           static_cast<std::size_t>(c);
}

inline double activate(Activation activation, double x) {
    if (activation == Activation::none) return x;
    const double positive = x > 0 ? x : x == x ? 0 : x;  // a NaN stays one
    return activation == Activation::relu6 && positive > 6 ? 6 : positive;
}

// Derivative, from the output: 0 where the activation is flat.
inline double slope(Activation activation, double y) {
    if (activation == Activation::none) return 1;
    return y > 0 && (activation == Activation::relu || y < 6) ? 1 : 0;
}

std::unique_ptr<Backend> make_backend();

}  // namespace divs::nn::reference
