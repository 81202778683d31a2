#include <cmath>
#include <map>

#include "divs/core/error.hpp"
#include "model_helpers.hpp"
#include "support/catch.hpp"

using namespace divs::nn;
using Catch::Matchers::ContainsSubstring;

namespace {

struct Architecture {
    const char* name;
    std::size_t parameters;
    std::vector<std::pair<std::string, std::vector<int>>> shapes;
};

const std::vector<Architecture>& torchvision() {
    static const std::vector<Architecture> all{
#include "torchvision_parameters.inc"
    };
    return all;
}

// Names and shapes, without the memory of a Model.
std::map<std::string, std::vector<int>> shapes_of(const ModelSpec& spec) {
    std::map<std::string, std::vector<int>> shapes;
    const auto outputs = node_shapes(spec, 1);
    for (const Node& node : spec.nodes)
        for (const ParameterShape& p : parameter_shapes(node.op, input_shapes(spec, outputs, node, 1)))
            shapes[node.name + "." + p.name] = p.dims;
    return shapes;
}

std::size_t count(const std::map<std::string, std::vector<int>>& shapes) {
    std::size_t sum = 0;
    for (const auto& entry : shapes) sum += ParameterShape{entry.first, entry.second, false}.size();
    return sum;
}

}  // namespace

TEST_CASE("names, shapes and numbers of parameters are torchvision's") {
    const std::map<std::string, std::size_t> published{
        {"alexnet", 61100840}, {"resnet18", 11689512}, {"resnet50", 25557032}, {"mobilenet_v2", 3504872}};
    for (const Architecture& a : torchvision()) {
        INFO(a.name);
        const auto shapes = shapes_of(zoo_model(a.name, {1000, 1, 224, 224}));
        CHECK(shapes == std::map<std::string, std::vector<int>>(a.shapes.begin(), a.shapes.end()));
        CHECK(count(shapes) == a.parameters);
        CHECK(count(shapes) == published.at(a.name));
    }
}

TEST_CASE("temporal shift adds no parameter") {
    for (const std::string depth : {"18", "50"}) {
        const ModelSpec clip = zoo_model("tsm_resnet" + depth, {1000, 8, 112, 112});
        CHECK(shapes_of(clip) == shapes_of(zoo_model("resnet" + depth, {1000, 1, 112, 112})));
        int shifts = 0;
        for (const Node& node : clip.nodes) shifts += std::holds_alternative<TemporalShift>(node.op);
        CHECK(shifts == (depth == "18" ? 8 : 16));
    }
}

TEST_CASE("multiply-adds are the published ones") {
    auto cost = [](const char* name) {
        const ModelSpec spec = zoo_model(name, {1000, 1, 224, 224});
        const auto outputs = node_shapes(spec, 1);
        double sum = 0;
        for (const Node& node : spec.nodes)
            sum += multiply_adds(node.op, input_shapes(spec, outputs, node, 1));
        return sum / 1e9;
    };
    CHECK(cost("resnet18") == Approx(1.814).epsilon(0.01));
    CHECK(cost("resnet50") == Approx(4.089).epsilon(0.01));
    CHECK(cost("mobilenet_v2") == Approx(0.301).epsilon(0.01));
    CHECK(cost("alexnet") == Approx(0.714).epsilon(0.01));
}

TEST_CASE("every model takes frames and images of several sizes") {
    for (const std::string& name : zoo_names())
        for (const int frames : {1, 3})
            for (const int edge : {64, 97}) {
                const ModelSpec spec = zoo_model(name, {5, frames, edge, edge + 16});
                CHECK(node_shapes(spec, 2).back() == Shape{2, 1, 1, 5});
            }
}

TEST_CASE("a wrong name is met with the nearest, a wrong size with a reason") {
    CHECK_THROWS_WITH(zoo_model("resnet81", {2, 1, 64, 64}), ContainsSubstring("did you mean 'resnet18'"));
    CHECK_THROWS_WITH(zoo_model("alexnet", {2, 1, 16, 16}), ContainsSubstring("alexnet") && ContainsSubstring("features."));
    CHECK_THROWS_WITH(zoo_model("tiny", {0, 1, 16, 16}), ContainsSubstring("classes is 0"));
}

TEST_CASE("first values depend on seed and name alone, and have the scales of He and torch") {
    Model a(zoo_model("resnet18", {10, 1, 64, 64}), test::backend("reference"));
    Model b(zoo_model("tsm_resnet18", {10, 4, 96, 96}), test::backend("reference"));
    a.initialise(5);
    b.initialise(5);
    CHECK(test::copy(a.parameters()) == test::copy(b.parameters()));
    const auto first = test::copy(a.parameters());
    for (const ParameterView& view : a.parameter_views()) {
        double squares = 0, largest = 0;
        for (const float v : a.parameters().subspan(view.offset, view.size)) {
            squares += static_cast<double>(v) * static_cast<double>(v);
            largest = std::max(largest, std::abs(static_cast<double>(v)));
        }
        const double deviation = std::sqrt(squares / static_cast<double>(view.size));
        INFO(view.name);
        if (view.dims.size() == 4)
            CHECK(deviation ==
                  Approx(std::sqrt(2.0 / (view.dims[0] * view.dims[2] * view.dims[3]))).epsilon(0.05));
        if (view.name == "fc.weight") {
            CHECK(deviation == Approx(1 / std::sqrt(3.0 * 512)).epsilon(0.05));
            CHECK(largest <= 1 / std::sqrt(512.0));
        }
        if (view.name.ends_with("bn1.weight")) CHECK(deviation == 1);
        CHECK(view.decays == (view.dims.size() > 1));
        CHECK(view.offset % 16 == 0);
    }
    a.initialise(6, {true});
    CHECK(test::difference(a.parameters(), first) > 0.5);
    for (const ParameterView& view : a.parameter_views())
        if (view.name.ends_with("bn2.weight")) CHECK(a.parameters()[view.offset] == 0);
    for (const ParameterView& view : a.buffer_views())
        CHECK(a.buffers()[view.offset] == (view.name.ends_with("running_var") ? 1.0F : 0.0F));
}

TEST_CASE("an LSTM starts as torch's: all its parameters uniform in 1 / sqrt(hidden)") {
    Model model(parse_model("lstm out=40\nlinear out=classes", {2, 3, 4, 5}), test::backend("reference"));
    model.initialise(5);
    const auto first = test::copy(model.parameters());
    const double bound = 1 / std::sqrt(40.0);
    int parameters = 0;
    for (const ParameterView& view : model.parameter_views()) {
        if (!view.name.starts_with("lstm1.")) continue;
        ++parameters;
        INFO(view.name);
        double squares = 0, largest = 0;
        for (const float v : model.parameters().subspan(view.offset, view.size)) {
            squares += static_cast<double>(v) * static_cast<double>(v);
            largest = std::max(largest, std::abs(static_cast<double>(v)));
        }
        CHECK(std::sqrt(squares / static_cast<double>(view.size)) ==
              Approx(bound / std::sqrt(3.0)).epsilon(0.15));
        CHECK(largest <= bound);
        CHECK(view.decays == (view.dims.size() > 1));
    }
    CHECK(parameters == 4);
    model.initialise(6);
    CHECK(test::difference(model.parameters(), first) > 0.5);
}
