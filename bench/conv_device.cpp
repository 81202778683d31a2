// Convolutions on the GPU at hand, without the rest of the program.
//   conv_device check                every algorithm on awkward shapes against the definition, on the device
//   conv_device bench [--json FILE]  our kernels against cuDNN's best, over the layers of models, three
//   directions
// Both say "no GPU here" and end with 77 where there is none.
#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "cuda/convolution_algorithms.hpp"
#include "cuda/convolution_trial.hpp"
#include "cuda/device.hpp"
#include "divs/nn/model.hpp"

namespace {

using namespace divs;
using namespace divs::nn;
using namespace divs::nn::cuda;

constexpr Direction directions[] = {Direction::forward, Direction::backward_data,
                                    Direction::backward_weights};
constexpr const char* direction_names[] = {"forward", "backward-data", "backward-weights"};

ConvProblem problem(Shape in, int k, int kernel, int stride, int pad, int dilation, int groups,
                    Arithmetic arithmetic, TemporalShift shift = {1, 0}) {
    ConvProblem p;
    p.in = in;
    p.op.out_channels = k;
    p.op.kernel_h = p.op.kernel_w = kernel;
    p.op.stride_h = p.op.stride_w = stride;
    p.op.pad_h = p.op.pad_w = pad;
    p.op.dilation_h = p.op.dilation_w = dilation;
    p.op.groups = groups;
    p.arithmetic = arithmetic;
    p.shift = shift;
    return p;
}

std::vector<ConvProblem> awkward_problems(Arithmetic a) {
    return {problem({2, 9, 7, 16}, 24, 3, 1, 1, 1, 1, a),
            problem({3, 57, 55, 64}, 64, 3, 1, 1, 1, 1, a),
            problem({2, 29, 28, 128}, 136, 3, 2, 1, 1, 1, a),
            problem({4, 14, 14, 256}, 1024, 1, 1, 0, 1, 1, a),
            problem({2, 28, 29, 512}, 264, 1, 2, 0, 1, 1, a),
            problem({2, 33, 31, 64}, 72, 3, 1, 2, 2, 1, a),
            problem({1, 33, 30, 64}, 64, 3, 2, 2, 3, 1, a),
            problem({2, 64, 67, 3}, 64, 7, 2, 3, 1, 1, a),
            problem({2, 65, 66, 3}, 32, 3, 2, 1, 1, 1, a),
            problem({2, 14, 15, 13}, 21, 3, 1, 1, 1, 1, a),
            problem({2, 14, 15, 64}, 64, 3, 1, 1, 1, 2, a),
            problem({2, 17, 15, 96}, 96, 3, 2, 1, 1, 96, a),
            problem({1, 7, 7, 512}, 512, 3, 1, 1, 1, 1, a),
            problem({7, 1, 1, 2048}, 1000, 1, 1, 0, 1, 1, a),
            problem({16, 14, 14, 256}, 64, 1, 1, 0, 1, 1, a, {8, 8}),
            problem({16, 15, 13, 512}, 128, 1, 1, 0, 1, 1, a, {8, 8}),
            problem({6, 9, 11, 64}, 64, 3, 1, 1, 1, 1, a, {3, 8})};
}

std::vector<std::unique_ptr<ConvAlgorithm>> candidates(const Device& device, const ConvProblem& p,
                                                       Direction d,
                                                       const std::shared_ptr<const CudnnHandle>& cudnn) {
    ConvOptions options;
    options.cudnn = cudnn;
    return conv_candidates(device, p, d, options);
}

int check(const Device& device, const std::shared_ptr<const CudnnHandle>& cudnn) {
    int tried = 0, failed = 0;
    for (const Arithmetic arithmetic : {Arithmetic::f32, Arithmetic::tf32, Arithmetic::bf16})
        for (ConvProblem p : awkward_problems(arithmetic))
            for (const Direction d : directions) {
                p.op.bias = p.residual = d == Direction::forward;
                p.activation = d == Direction::forward ? Activation::relu : Activation::none;
                ConvTrial trial(device, p, d);
                for (const auto& algorithm : candidates(device, p, d, cudnn)) {
                    double error = std::numeric_limits<double>::infinity();
                    std::string reason;
                    try {
                        error = trial.error(*algorithm);
                    } catch (const DeviceLost&) {
                        std::printf("device lost by %s on %s\n", algorithm->name().c_str(),
                                    key_of(p, d).c_str());
                        throw;
                    } catch (const std::exception& e) {
                        reason = e.what();
                    }
                    ++tried;
                    if (error <= trial.tolerance()) continue;
                    ++failed;
                    std::printf("FAILED %s: %s is %.3g away %s\n", key_of(p, d).c_str(),
                                algorithm->name().c_str(), error, reason.c_str());
                }
            }
    std::printf("%d algorithms tried, %d failed\n", tried, failed);
    return failed == 0 && tried > 0 ? 0 : 1;
}

struct Layer {
    std::string model;
    ConvProblem problem;
    bool first = false;  // reads the model's input, whose gradient nobody wants
    int count = 1;
};

// The convolutions of a model, those of one shape together.
std::vector<Layer> layers_of(const std::string& model, int clips, int frames, int size) {
    const ModelSpec spec = zoo_model(model, {1000, frames, size, size});
    std::vector<Shape> shapes;
    std::vector<Layer> layers;
    std::map<std::string, std::size_t> known;
    for (const Node& node : spec.nodes) {
        std::vector<Shape> inputs;
        for (const int i : node.inputs)
            inputs.push_back(i == model_input ? Shape{clips * frames, size, size, spec.channels}
                                              : shapes[static_cast<std::size_t>(i)]);
        shapes.push_back(output_shape(node.op, inputs));
        const auto* conv = std::get_if<Conv2d>(&node.op);
        if (!conv) continue;
        Layer layer{model, {}, node.inputs[0] == model_input};
        layer.problem.in = inputs[0];
        layer.problem.op = *conv;
        if (!layer.first)
            if (const auto* shift =
                    std::get_if<TemporalShift>(&spec.nodes[static_cast<std::size_t>(node.inputs[0])].op))
                layer.problem.shift = *shift;
        const auto [place, fresh] = known.emplace(key_of(layer.problem, Direction::forward), layers.size());
        if (fresh)
            layers.push_back(layer);
        else
            ++layers[place->second].count;
    }
    return layers;
}

struct Best {
    std::string name;
    double seconds = std::numeric_limits<double>::infinity();
};

// The fastest that is right. cuDNN is given the same layer without its shift in time, which it cannot fold.
Best best_of(const Device& device, const ConvProblem& p, Direction d, ConvChoice choice,
             const std::shared_ptr<const CudnnHandle>& cudnn) {
    ConvProblem own = p;
    if (choice == ConvChoice::cudnn) own.shift = {1, 0};
    ConvTrial trial(device, own, d);
    Best best;
    const auto all = choice == ConvChoice::divs ? divs_algorithms(device, own, d, std::size_t{256} << 20)
                                                : cudnn_algorithms(own, d, [&] {
                                                      ConvOptions options;
                                                      options.cudnn = cudnn;
                                                      return options;
                                                  }());
    for (const auto& algorithm : all) {
        try {
            if (trial.error(*algorithm) > trial.tolerance()) continue;
            const double seconds = trial.seconds(*algorithm);
            if (seconds < best.seconds) best = {algorithm->name(), seconds};
        } catch (const DeviceLost&) {
            throw;
        } catch (const std::exception&) {
            // Refused: not a candidate.
        }
    }
    // Measured again, apart from the measurements that chose it.
    for (const auto& algorithm : all)
        if (algorithm->name() == best.name) best.seconds = trial.seconds(*algorithm);
    return best;
}

int bench(const Device& device, const std::shared_ptr<const CudnnHandle>& cudnn, int batch, int clips,
          const std::string& file) {
    std::vector<Layer> layers = layers_of("resnet50", batch, 1, 224);
    for (const Layer& layer : layers_of("tsm_resnet50", clips, 8, 224)) layers.push_back(layer);
    nlohmann::json rows = nlohmann::json::array();
    double logarithms = 0, lowest = std::numeric_limits<double>::infinity(), cudnn_time = 0, both_time = 0;
    int compared = 0;
    for (const Layer& layer : layers)
        for (int d = 0; d < 3; ++d) {
            if (layer.first && directions[d] == Direction::backward_data) continue;
            const Best ours = best_of(device, layer.problem, directions[d], ConvChoice::divs, cudnn);
            const Best theirs = best_of(device, layer.problem, directions[d], ConvChoice::cudnn, cudnn);
            const double work = 2 * layer.problem.multiply_adds(), ratio = theirs.seconds / ours.seconds;
            std::printf("%-12s %-70s %8.3f ms %6.1f TFLOP/s %-28s cudnn %8.3f ms  %.2f\n",
                        layer.model.c_str(), key_of(layer.problem, directions[d]).c_str(), 1e3 * ours.seconds,
                        1e-12 * work / ours.seconds, ours.name.c_str(), 1e3 * theirs.seconds, ratio);
            rows.push_back({{"model", layer.model},
                            {"count", layer.count},
                            {"direction", direction_names[d]},
                            {"layer", key_of(layer.problem, directions[d])},
                            {"divs_ms", 1e3 * ours.seconds},
                            {"divs", ours.name},
                            {"cudnn_ms", 1e3 * theirs.seconds},
                            {"cudnn", theirs.name},
                            {"tflops", 1e-12 * work / ours.seconds},
                            {"ratio", ratio}});
            if (!std::isfinite(ratio)) continue;
            logarithms += std::log(ratio);
            lowest = std::min(lowest, ratio);
            cudnn_time += layer.count * theirs.seconds;
            both_time += layer.count * std::min(ours.seconds, theirs.seconds);
            ++compared;
        }
    const double mean = compared > 0 ? std::exp(logarithms / compared) : 0;
    std::printf("geometric mean %.3f, lowest %.3f over %d; auto against cuDNN alone %.3f\n", mean, lowest,
                compared, compared > 0 ? cudnn_time / both_time : 0);
    const nlohmann::json result{{"device", device.description()},
                                {"cudnn", cudnn_version()},
                                {"batch", batch},
                                {"clips", clips},
                                {"layers", rows},
                                {"geometric_mean", mean},
                                {"lowest", lowest},
                                {"auto_over_cudnn", compared > 0 ? cudnn_time / both_time : 0}};
    if (!file.empty()) std::ofstream(file) << result.dump(1) << '\n';
    return compared > 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app("Convolutions on the GPU at hand");
    int batch = 128, clips = 16;
    std::string file;
    app.require_subcommand(1);
    CLI::App* checking = app.add_subcommand("check", "Every algorithm against the definition");
    CLI::App* measuring = app.add_subcommand("bench", "Our kernels against cuDNN's best");
    measuring->add_option("--batch", batch, "Images of resnet50")->check(CLI::Range(1, 4096));
    measuring->add_option("--clips", clips, "Clips of 8 frames of tsm_resnet50")->check(CLI::Range(1, 512));
    measuring->add_option("--json", file, "File for the results");
    CLI11_PARSE(app, argc, argv);
    std::unique_ptr<Device> device;
    try {
        device = std::make_unique<Device>(0);
    } catch (const std::exception& e) {
        std::printf("no GPU here: %s\n", e.what());
        return 77;
    }
    try {
        std::printf("%s, cuDNN %s\n", device->description().c_str(), cudnn_version().c_str());
        const auto cudnn = make_cudnn_handle();
        return checking->parsed() ? check(*device, cudnn) : bench(*device, cudnn, batch, clips, file);
    } catch (const std::exception& e) {
        std::fprintf(stderr, "conv_device: %s\n", e.what());
        return 1;
    }
}
