// Kernels that do little more than read and write, against the bandwidth of a copy in the same run: batch norm,
// pooling, activation, optimisers, pixels. The bytes are those that the operation cannot do without.
#include <cuda_runtime.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "bench.hpp"
#include "cuda/backend.hpp"
#include "cuda/memory.hpp"
#include "device_bench.hpp"
#include "divs/core/clock.hpp"

namespace divs::bench {
namespace {

using namespace divs::nn;

constexpr double goal_share = 0.85;  // of a copy's bandwidth

// Something that is queued on the device, and the bytes that it moves.
struct Subject {
    std::string name;
    double bytes = 0;
    std::function<void()> run;
};

// An operation with all that it reads and writes.
class Planned {
  public:
    Planned(Backend& backend, const Op& op, const std::vector<Shape>& shapes) : backend_(backend) {
        std::vector<TensorDesc> descs;
        for (const Shape& s : shapes) descs.push_back(backend.input_desc(s, op));
        operation_ = backend.plan(op, descs, PlanOptions{});
        for (const TensorDesc& d : descs) {
            inputs_.push_back(filled(d));
            gradients_.push_back(filled(d));
        }
        output_ = filled(operation_->output());
        output_gradient_ = filled(operation_->output());
        auto arrays = [&](const auto& wanted) {
            std::vector<std::span<float>> spans;
            for (const auto& w : wanted) {
                storage_.push_back(backend.allocate(w.size() * sizeof(float)));
                const std::vector<float> ones(w.size(), 1.0F);
                spans.emplace_back(storage_.back()->data(), w.size());
                backend.write(ones.data(), spans.back());
            }
            return spans;
        };
        parameters_ = {arrays(parameter_shapes(op, shapes)), arrays(parameter_shapes(op, shapes)),
                       arrays(buffer_shapes(op, shapes))};
        workspace_ = backend.allocate(std::max<std::size_t>(operation_->workspace_bytes(), 16));
        for (std::size_t i = 0; i < inputs_.size(); ++i) {
            input_pointers_.push_back(&inputs_[i]);
            gradient_pointers_.push_back(&gradients_[i]);
        }
    }

    void forward() {
        operation_->forward(input_pointers_, output_, parameters_, {}, workspace_->data());
    }
    void backward() {
        operation_->backward(input_pointers_, output_, output_gradient_, gradient_pointers_, parameters_, {},
                             workspace_->data());
    }
    double input_bytes() const { return static_cast<double>(backend_.bytes(inputs_[0].desc)); }
    double output_bytes() const { return static_cast<double>(backend_.bytes(output_.desc)); }

  private:
    Tensor filled(const TensorDesc& desc) {
        Tensor tensor{desc, backend_.allocate(backend_.bytes(desc))};
        std::vector<float> values(desc.shape.size());
        for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 251) / 251 - 0.5F;
        backend_.upload(values.data(), tensor);
        return tensor;
    }

    Backend& backend_;
    std::unique_ptr<Operation> operation_;
    std::vector<Tensor> inputs_, gradients_;
    Tensor output_, output_gradient_;
    Parameters parameters_;
    std::vector<std::shared_ptr<Storage>> storage_;
    std::shared_ptr<Storage> workspace_;
    std::vector<const Tensor*> input_pointers_;
    std::vector<Tensor*> gradient_pointers_;
};

// Activations of resnet50's first stages at batch 128.
std::vector<Subject> operations(Backend& backend, int batch, const std::string& suffix) {
    std::vector<Subject> all;
    auto add = [&](const std::string& name, const Op& op, const std::vector<Shape>& shapes, auto forward, auto backward) {
        auto planned = std::make_shared<Planned>(backend, op, shapes);
        const double in = planned->input_bytes(), out = planned->output_bytes();
        all.push_back({name + " forward" + suffix, forward(in, out), [planned] { planned->forward(); }});
        all.push_back({name + " backward" + suffix, backward(in, out), [planned] { planned->backward(); }});
    };
    BatchNorm norm, joined;
    norm.activation = joined.activation = Activation::relu;
    joined.residual = true;
    const Shape wide{batch, 56, 56, 256}, first{batch, 112, 112, 64};
    // Statistics read x once more. Backward reads x and dy twice and writes dx; where a residual was added, it reads
    // x, y and dy and writes the residual's gradient, then reads x and that and writes dx.
    add("norm relu 56x56x256", norm, {wide}, [](double in, double) { return 3 * in; },
        [](double in, double) { return 5 * in; });
    add("norm add relu 56x56x256", joined, {wide, wide}, [](double in, double) { return 4 * in; },
        [](double in, double) { return 7 * in; });
    add("norm relu 112x112x64", norm, {first}, [](double in, double) { return 3 * in; },
        [](double in, double) { return 5 * in; });
    // The chosen places, two bytes each, are written and read with the output.
    const double places = suffix == " bf16" ? 1.0 : 0.5;
    auto pooled = [places](double in, double out) { return in + out * (1 + places); };
    add("maxpool 3x3/2 112x112x64", Pool{PoolKind::max, 3, 3, 2, 2, 1, 1}, {first}, pooled, pooled);
    auto both = [](double in, double out) { return in + out; };
    add("avgpool 2x2/2 56x56x256", Pool{PoolKind::average, 2, 2, 2, 2, 0, 0}, {wide}, both, both);
    add("relu 56x56x256", Activate{}, {wide}, both, [](double in, double) { return 3 * in; });
    return all;
}

// Both optimisers over as many parameters as resnet50 has twice, with the copy in bfloat16 that compute reads left out:
// the arena holds no weights of layers here.
std::vector<Subject> optimisers(Backend& backend) {
    constexpr std::size_t size = std::size_t{50} << 20;
    auto arena = std::make_shared<std::vector<std::shared_ptr<Storage>>>();
    std::vector<std::span<float>> spans;
    for (int i = 0; i < 4; ++i) {
        arena->push_back(backend.allocate(size * sizeof(float)));
        spans.emplace_back(arena->back()->data(), size);
    }
    auto step = [&backend, arena, spans](Optimizer kind) {
        UpdateSettings settings;
        settings.optimizer = kind;
        const UpdateRange whole{0, size, true, false};
        const std::span<const std::span<float>> state(spans.data() + 2, kind == Optimizer::sgd ? 1 : 2);
        backend.update(settings, {&whole, 1}, spans[0], spans[1], state);
    };
    const double bytes = size * sizeof(float);
    // The gradient is read once more before: an update goes by its norm.
    return {{"sgd, 52 M parameters", 6 * bytes, [step] { step(Optimizer::sgd); }},
            {"adamw, 52 M parameters", 8 * bytes, [step] { step(Optimizer::adamw); }}};
}

// Seconds of one run, of `runs` in a row: all are queued, each backend on a stream of its own, and the end is waited
// for once.
double seconds_of(const std::function<void()>& run, int runs) {
    DIVS_CUDA_CALL(cudaDeviceSynchronize);
    const Stopwatch watch;
    for (int i = 0; i < runs; ++i) run();
    DIVS_CUDA_CALL(cudaDeviceSynchronize);
    return watch.seconds() / runs;
}

int measure(const nn::cuda::Device& device, int batch, const std::string& file) {
    constexpr int runs = 30, rounds = 5;
    constexpr std::size_t copied = std::size_t{1} << 30;
    const auto from = nn::cuda::allocate_device(device, copied, "a copy"),
               to = nn::cuda::allocate_device(device, copied, "a copy");
    std::vector<Subject> subjects{{"copy", 2.0 * copied, [&] {
                                       DIVS_CUDA_CALL(cudaMemcpyAsync, to.get(), from.get(), copied,
                                                      cudaMemcpyDeviceToDevice, device.stream());
                                   }}};
    std::vector<std::unique_ptr<Backend>> backends;
    for (const Precision precision : {Precision::float32, Precision::bfloat16}) {
        BackendOptions options;
        options.precision = precision;
        backends.push_back(nn::cuda::make_backend(options));
        for (Subject& s : operations(*backends.back(), batch, precision == Precision::bfloat16 ? " bf16" : " f32"))
            subjects.push_back(std::move(s));
    }
    for (Subject& s : optimisers(*backends[0])) subjects.push_back(std::move(s));
    std::vector<std::function<double()>> candidates;
    for (const Subject& s : subjects)
        candidates.push_back([&s] { return seconds_of(s.run, runs); });
    const std::vector<double> seconds = interleaved(rounds, 1, candidates);
    const double roof = subjects[0].bytes / seconds[0];
    nlohmann::json rows = nlohmann::json::array();
    double lowest = 1e9;
    for (std::size_t i = 0; i < subjects.size(); ++i) {
        const double rate = subjects[i].bytes / seconds[i];
        std::printf("%-40s %9.3f ms %8.1f GB/s  %.3f\n", subjects[i].name.c_str(), 1e3 * seconds[i], 1e-9 * rate,
                    rate / roof);
        rows.push_back({{"name", subjects[i].name}, {"ms", 1e3 * seconds[i]}, {"gb_per_s", 1e-9 * rate},
                        {"of_copy", rate / roof}});
        if (i > 0) lowest = std::min(lowest, rate / roof);
    }
    goal("memory.lowest_share_of_copy", lowest, goal_share);
    if (!file.empty())
        std::ofstream(file) << nlohmann::json{{"device", device.description()}, {"batch", batch}, {"rows", rows},
                                              {"lowest", lowest}}.dump(1)
                            << '\n';
    return 0;
}

}  // namespace

void add_memory(CLI::App& app) {
    struct Options {
        int batch = 128;
        std::string json;
    };
    auto options = std::make_shared<Options>();
    CLI::App& memory = *app.add_subcommand("memory", "Memory-bound kernels against a copy's bandwidth");
    memory.add_option("--batch", options->batch, "Images")->check(CLI::Range(1, 4096));
    memory.add_option("--json", options->json, "JSON file");
    memory.callback([options] {
        run_on_device([&](const nn::cuda::Device& device) { return measure(device, options->batch, options->json); });
    });
}

}  // namespace divs::bench
