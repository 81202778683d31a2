#include "loops.hpp"

namespace divs::nn::reference {

template <class T>
std::unique_ptr<Loops<T>> make_loops(const Op& op, const std::vector<Shape>& inputs,
                                     const PlanOptions& options) {
    return std::visit([&](const auto& o) { return make<T>(o, inputs, options); }, op);
}

template std::unique_ptr<Loops<float>> make_loops(const Op&, const std::vector<Shape>&, const PlanOptions&);
template std::unique_ptr<Loops<double>> make_loops(const Op&, const std::vector<Shape>&, const PlanOptions&);

}  // namespace divs::nn::reference
