// `divs bench conv`: every convolution of a model, each direction by itself, against the rate of a large
// matrix product in the same run. Work is counted as 2 x multiply-adds of the direct algorithm, whatever
// algorithm runs, and the time holds all that a step pays: packing weights out of the arena, and their
// gradients back into it.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bench.hpp"
#include "divs/core/clock.hpp"
#include "divs/core/error.hpp"
#include "divs/core/random.hpp"
#include "divs/nn/model.hpp"
#include "sgemm_rate.hpp"

namespace divs::bench {
namespace {

struct ConvOptions {
    std::string model = "resnet18", backend = "cpu", json;
    int size = 112, batch = 32, frames = 1, threads = 1, rounds = 7;
    bool nhwc = false;
};

constexpr std::array<const char*, 3> directions{"forward", "backward-data", "backward-weights"};

struct Layer {
    std::string name;
    nn::Conv2d op;
    nn::Shape in;
    bool first = false;  // reads the model's input, which needs no gradient
    int count = 1;       // layers of this shape
};

std::string shape_key(const nn::Conv2d& c, const nn::Shape& in) {
    return fmt::format("{} {} {} {}", fmt::format("{} {} {} {}", in.n, in.h, in.w, in.c),
                       fmt::format("{} {} {}", c.out_channels, c.kernel_h, c.kernel_w),
                       fmt::format("{} {} {} {}", c.stride_h, c.stride_w, c.pad_h, c.pad_w),
                       fmt::format("{} {}", c.groups, c.dilation_h));
}

// The convolutions of a model, those of one shape together.
std::vector<Layer> layers_of(const ConvOptions& o) {
    const nn::ModelSpec spec = nn::zoo_model(o.model, {1000, o.frames, o.size, o.size});
    std::vector<nn::Shape> shapes;
    std::vector<Layer> layers;
    std::map<std::string, std::size_t> known;
    for (const nn::Node& node : spec.nodes) {
        std::vector<nn::Shape> inputs;
        for (int i : node.inputs)
            inputs.push_back(i == nn::model_input
                                 ? nn::Shape{o.batch * o.frames, o.size, o.size, spec.channels}
                                 : shapes[static_cast<std::size_t>(i)]);
        shapes.push_back(nn::output_shape(node.op, inputs));
        const auto* conv = std::get_if<nn::Conv2d>(&node.op);
        if (!conv) continue;
        const auto [place, fresh] = known.emplace(shape_key(*conv, inputs[0]), layers.size());
        if (fresh)
            layers.push_back({node.name, *conv, inputs[0], node.inputs[0] == nn::model_input});
        else
            ++layers[place->second].count;
    }
    return layers;
}

void fill(float* values, std::size_t n, std::uint64_t seed) {
    const Random random(seed, Stream::test);
    for (std::size_t i = 0; i < n; ++i) values[i] = static_cast<float>(random.uniform(i & 4095, -1, 1));
}

// One layer planned for one direction, with all its memory.
class ConvSubject {
  public:
    ConvSubject(nn::Backend& backend, const Layer& layer, std::size_t direction, bool nhwc)
        : direction_(direction) {
        nn::PlanOptions options;
        options.input_gradients = {direction == 1};
        options.parameter_gradients = direction == 2;
        const nn::TensorDesc in = nhwc ? nn::TensorDesc{layer.in, nullptr} : input_of(backend, layer);
        operation_ = backend.plan(layer.op, {in}, options);
        input_ = tensor(backend, in, 1);
        output_ = tensor(backend, operation_->output(), 2);
        output_gradient_ = tensor(backend, operation_->output(), 3);
        input_gradient_ = tensor(backend, in, 4);
        for (const auto& p : nn::parameter_shapes(layer.op, {layer.in})) {
            values_.emplace_back(p.size());
            gradients_.emplace_back(p.size());
            fill(values_.back().data(), p.size(), 5);
        }
        for (auto& v : values_) parameters_.values.emplace_back(v);
        for (auto& v : gradients_) parameters_.gradients.emplace_back(v);
        workspace_ = backend.allocate(operation_->workspace_bytes());
    }

    double seconds() {
        const nn::Tensor* inputs[] = {&input_};
        nn::Tensor* gradients[] = {direction_ == 1 ? &input_gradient_ : nullptr};
        Stopwatch watch;
        if (direction_ == 0)
            operation_->forward(inputs, output_, parameters_, {}, workspace_->data());
        else
            operation_->backward(inputs, output_, output_gradient_, gradients, parameters_, {},
                                 workspace_->data());
        return watch.seconds();
    }

  private:
    // The layout that the layer before would hand over: the model's input, or a convolution's output.
    static nn::TensorDesc input_of(nn::Backend& backend, const Layer& layer) {
        if (layer.first) return backend.input_desc(layer.in, layer.op);
        nn::Conv2d before;
        before.out_channels = layer.in.c;
        nn::PlanOptions options;
        options.training = false;
        return backend.plan(before, {backend.input_desc(layer.in, before)}, options)->output();
    }

    static nn::Tensor tensor(nn::Backend& backend, const nn::TensorDesc& desc, std::uint64_t seed) {
        nn::Tensor t{desc, backend.allocate(backend.bytes(desc))};
        std::vector<float> values(desc.shape.size());
        fill(values.data(), values.size(), seed);
        backend.upload(values.data(), t);
        return t;
    }

    std::size_t direction_;
    std::unique_ptr<nn::Operation> operation_;
    nn::Tensor input_, output_, output_gradient_, input_gradient_;
    std::vector<std::vector<float>> values_, gradients_;
    nn::Parameters parameters_;
    std::shared_ptr<nn::Storage> workspace_;
};

struct Total {
    double work = 0, seconds = 0;
};

void run(const ConvOptions& o) {
    auto backend = nn::make_backend(o.backend, {o.threads, false});
    const std::vector<Layer> layers = layers_of(o);
    SgemmRate sgemm(o.threads);
    // Each round runs the matrix products and then every layer once in every direction.
    std::vector<std::function<double()>> candidates = sgemm.candidates();
    const std::size_t first = candidates.size();
    std::vector<std::unique_ptr<ConvSubject>> subjects;
    for (const Layer& layer : layers)
        for (std::size_t d = 0; d < directions.size(); ++d) {
            if (d == 1 && layer.first) continue;
            subjects.push_back(std::make_unique<ConvSubject>(*backend, layer, d, o.nhwc));
            candidates.push_back([subject = subjects.back().get()] { return subject->seconds(); });
        }
    const std::vector<double> seconds = interleaved(o.rounds, 1, candidates);
    const double rate = sgemm.best({seconds.begin(), seconds.begin() + static_cast<std::ptrdiff_t>(first)});

    Report report("conv",
                  {"layer", "count", "input", "output", "kernel", "direction", "ms", "GFLOP/s", "of sgemm"});
    std::array<Total, 3> totals;
    std::size_t at = first;
    for (const Layer& layer : layers)
        for (std::size_t d = 0; d < directions.size(); ++d) {
            if (d == 1 && layer.first) continue;
            const double work = 2 * nn::multiply_adds(layer.op, {layer.in}), time = seconds[at++];
            const nn::Shape out = nn::output_shape(layer.op, {layer.in});
            report.row({layer.name, layer.count, fmt::format("{}x{}x{}", layer.in.h, layer.in.w, layer.in.c),
                        fmt::format("{}x{}x{}", out.h, out.w, out.c),
                        fmt::format("{}x{}/{}", layer.op.kernel_h, layer.op.kernel_w, layer.op.stride_h),
                        directions[d], 1e3 * time, 1e-9 * work / time, work / time / rate});
            totals[d].work += work * layer.count;
            totals[d].seconds += time * layer.count;
        }
    report.figure("conv.sgemm", 1e-9 * rate, "GFLOP/s (" + sgemm.best_name() + ")");
    for (std::size_t d = 0; d < directions.size(); ++d)
        if (totals[d].seconds > 0)
            report.figure(fmt::format("conv.{}.threads{}.{}", o.model, o.threads, directions[d]),
                          totals[d].work / totals[d].seconds / rate, "of sgemm");
    report.note(
        fmt::format("batch {}, {}x{} pixels, {} threads; totals weigh each layer by its time and count",
                    o.batch, o.size, o.size, o.threads));
    report.finish(o.json);
}

}  // namespace

void add_conv(CLI::App& bench) {
    CLI::App& conv = *bench.add_subcommand("conv", "Every convolution of a model against a matrix product");
    auto options = std::make_shared<ConvOptions>();
    conv.add_option("--model", options->model, "A model of the zoo");
    conv.add_option("--size", options->size, "Height and width in pixels")->check(CLI::Range(1, 4096));
    conv.add_option("--batch", options->batch, "Images")->check(CLI::Range(1, 65536));
    conv.add_option("--threads", options->threads, "Compute threads")->check(CLI::Range(1, 1024));
    conv.add_option("--backend", options->backend);
    conv.add_option("--rounds", options->rounds, "Measured rounds; medians count")
        ->check(CLI::Range(1, 1000));
    conv.add_flag("--nhwc", options->nhwc, "Hand every layer an NHWC input");
    conv.add_option("--json", options->json, "JSON file (-: JSON instead of the table)");
    conv.callback([options] { run(*options); });
}

}  // namespace divs::bench
