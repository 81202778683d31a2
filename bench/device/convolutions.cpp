// Convolutions: every algorithm on awkward shapes against the definition, on the device; and our kernels
// against cuDNN's best, over the layers of models, in three directions.
#include <cmath>
#include <cstdio>
#include <fstream>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "cuda/convolution_algorithms.hpp"
#include "cuda/convolution_trial.hpp"
#include "cuda/device.hpp"
#include "device_bench.hpp"
#include "divs/nn/model.hpp"

namespace divs::bench {
namespace {

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

// Those whose key holds `match`.
int check_all(const Device& device, const std::shared_ptr<const CudnnHandle>& cudnn,
              const std::string& match) {
    int tried = 0, failed = 0;
    for (const Arithmetic arithmetic : {Arithmetic::f32, Arithmetic::tf32, Arithmetic::bf16})
        for (ConvProblem p : awkward_problems(arithmetic))
            for (const Direction d : directions) {
                if (key_of(p, d).find(match) == std::string::npos) continue;
                p.op.bias = p.op.residual = d == Direction::forward;
                p.op.activation = d == Direction::forward ? Activation::relu : Activation::none;
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
    double chosen = std::numeric_limits<double>::infinity();   // seconds, of the runs that chose it
    double seconds = std::numeric_limits<double>::infinity();  // of other runs
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
            if (seconds < best.chosen) best = {algorithm->name(), seconds, seconds};
        } catch (const DeviceLost&) {
            throw;
        } catch (const std::exception&) {
            // Refused: not a candidate.
        }
    }
    for (const auto& algorithm : all)
        if (algorithm->name() == best.name) best.seconds = trial.seconds(*algorithm);
    return best;
}

// A product of matrices as the fastest that is here does it, FLOP/s: what convolutions are held against.
double matrix_rate(const Device& device, const std::shared_ptr<const CudnnHandle>& cudnn) {
    const ConvProblem p = problem({8, 32, 32, 8192}, 8192, 1, 1, 0, 1, 1, Arithmetic::bf16);
    double seconds = std::numeric_limits<double>::infinity();
    for (const ConvChoice choice : {ConvChoice::divs, ConvChoice::cudnn})
        seconds = std::min(seconds, best_of(device, p, Direction::forward, choice, cudnn).seconds);
    return 2 * p.multiply_adds() / seconds;
}

// 3x3 over as many channels as fill the matrix units, without a stride.
bool is_big(const ConvProblem& p) {
    return p.op.kernel_h == 3 && p.op.kernel_w == 3 && p.op.stride_h == 1 && p.op.groups == 1 &&
           p.in.c >= 128;
}

int compare(const Device& device, const std::shared_ptr<const CudnnHandle>& cudnn, int batch, int clips,
            const std::string& file) {
    const double roof = matrix_rate(device, cudnn);
    std::printf("bf16 matrix product of 8192: %.1f TFLOP/s\n", 1e-12 * roof);
    std::vector<Layer> layers = layers_of("resnet50", batch, 1, 224);
    for (const Layer& layer : layers_of("tsm_resnet50", clips, 8, 224)) layers.push_back(layer);
    nlohmann::json rows = nlohmann::json::array();
    double logarithms = 0, lowest = std::numeric_limits<double>::infinity(), cudnn_time = 0, both_time = 0;
    double big_share =
        std::numeric_limits<double>::infinity();  // of the roof: the slowest of the big 3x3 layers
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
            if (is_big(layer.problem)) big_share = std::min(big_share, work / ours.seconds / roof);
            if (!std::isfinite(ratio)) continue;
            logarithms += std::log(ratio);
            lowest = std::min(lowest, ratio);
            cudnn_time += layer.count * theirs.seconds;
            both_time += layer.count * (ours.chosen <= theirs.chosen ? ours.seconds : theirs.seconds);
            ++compared;
        }
    const double mean = compared > 0 ? std::exp(logarithms / compared) : 0;
    const double both = compared > 0 ? cudnn_time / both_time : 0;
    const nlohmann::json result{{"device", device.description()},
                                {"cudnn", cudnn_version()},
                                {"batch", batch},
                                {"clips", clips},
                                {"layers", rows},
                                {"matrix_tflops", 1e-12 * roof},
                                {"geometric_mean", mean},
                                {"lowest", lowest},
                                {"auto_over_cudnn", both},
                                {"big_3x3_share", big_share}};
    goal("conv.against_cudnn.geometric_mean", mean, 0.9);
    goal("conv.against_cudnn.lowest", lowest, 0.5);
    goal("conv.auto_over_cudnn", both, 1.05);
    goal("conv.big_3x3.share_of_matrix_rate", big_share, 0.65);
    if (!file.empty()) std::ofstream(file) << result.dump(1) << '\n';
    return compared > 0 ? 0 : 1;
}

}  // namespace

void add_check(CLI::App& app) {
    CLI::App& check = *app.add_subcommand("check", "Every algorithm of a convolution against its definition");
    auto match = std::make_shared<std::string>();
    check.add_option("--match", *match,
                     "Only convolutions whose key, as a failure names it, holds this text");
    check.callback([match] {
        run_on_device([&](const Device& device) { return check_all(device, make_cudnn_handle(), *match); });
    });
}

void add_convolutions(CLI::App& app) {
    struct Options {
        int batch = 128, clips = 16;
        std::string json;
    };
    auto options = std::make_shared<Options>();
    CLI::App& bench = *app.add_subcommand("conv", "Our convolutions against cuDNN's best, layer by layer");
    bench.add_option("--batch", options->batch, "Images of resnet50")->check(CLI::Range(1, 4096));
    bench.add_option("--clips", options->clips, "Clips of 8 frames of tsm_resnet50")
        ->check(CLI::Range(1, 512));
    bench.add_option("--json", options->json, "JSON file");
    bench.callback([options] {
        run_on_device([&](const Device& device) {
            return compare(device, make_cudnn_handle(), options->batch, options->clips, options->json);
        });
    });
}

}  // namespace divs::bench
