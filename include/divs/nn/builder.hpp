// Builds a ModelSpec node by node; used by the zoo and by the text form.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "divs/nn/model.hpp"

namespace divs::nn {

class SpecBuilder {
  public:
    SpecBuilder(std::string_view architecture, const ModelSize& size);

    int last() const noexcept {
        return static_cast<int>(spec_.nodes.size()) - 1;
    }  // model_input before the first
    const ModelSize& size() const noexcept { return size_; }

    // Each adds one node that reads the last one, or `inputs`, and returns its number. ConfigError where it
    // does not fit.
    int add(std::string name, Op op, std::vector<int> inputs);
    int add(std::string name, Op op) { return add(std::move(name), std::move(op), {last()}); }
    int conv(std::string name, int out, int kernel, int stride = 1, int pad = 0, int groups = 1,
             bool bias = false);
    int norm(std::string name, Activation activation = Activation::none);
    int max_pool(std::string name, int kernel, int stride, int pad = 0);
    int linear(std::string name, int out);
    int dropout(std::string name, float rate);
    int shift(std::string name, int divisor = 8);  // nothing for one frame
    // Averages the frames of a clip where there are several.
    int frame_mean(std::string name = "frame_mean");

    // The finished model, fused. ConfigError where nothing reads a node, or the last one gives no logits.
    ModelSpec build();

  private:
    ModelSize size_;
    ModelSpec spec_;
    std::vector<Shape> shapes_;  // of the nodes, for one clip
    int dropouts_ = 0;
};

}  // namespace divs::nn
