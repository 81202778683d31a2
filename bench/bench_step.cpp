// `divs bench step`: a whole training step of one rank on noise: forward, loss, backward, SGD with momentum.
// With
// --predict: its prediction, as it is trained and folded.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <thread>
#include <utility>

#include "bench.hpp"
#include "divs/core/clock.hpp"
#include "divs/core/error.hpp"
#include "divs/core/random.hpp"
#include "divs/nn/inference.hpp"
#include "divs/nn/model.hpp"

namespace divs::bench {
namespace {

struct StepOptions {
    std::string model = "resnet18", json;
    std::string backend = "cpu", precision = "float32", conv = "auto";
    int size = 112, batch = 32, frames = 1, classes = 1000;
    int threads = 1, steps = 7, warm_up = 2;
    bool profile = false, predict = false;
};

nn::BackendOptions backend_options(const StepOptions& o) {
    nn::BackendOptions options;
    options.threads = o.threads;
    options.precision = nn::precision_of(o.precision);
    options.conv = nn::conv_choice_of(o.conv);
    return options;
}

// A model with its optimiser state, and clips of noise.
class StepSubject {
  public:
    explicit StepSubject(const StepOptions& o)
        : model_(nn::zoo_model(o.model, {o.classes, o.frames, o.size, o.size}),
                 nn::make_backend(o.backend, backend_options(o))),
          velocity_(model_.backend().allocate(model_.parameters().size_bytes())) {
        model_.initialise(1);
        model_.record_steps({});
        const Random random(1, Stream::test);
        const auto clips = static_cast<std::size_t>(o.batch);
        pixels_.resize(clips * static_cast<std::size_t>(o.frames * o.size * o.size) * 3);
        for (std::size_t i = 0; i < pixels_.size(); ++i)
            pixels_[i] = static_cast<std::uint8_t>(random.bits(i));
        for (std::size_t i = 0; i < clips; ++i) {
            labels_.push_back(
                static_cast<std::int32_t>(random.below(i, static_cast<std::uint64_t>(o.classes))));
            samples_.push_back(i);
        }
        settings_.learning_rate = 0.01F;
        settings_.weight_decay = 1e-4F;
    }

    struct Seconds {
        double step = 0, update = 0;
        nn::StepSeconds parts;
    };

    Seconds step() {
        Stopwatch watch;
        const nn::LossSum sum = model_.train_step({pixels_, labels_, samples_, 1, 0}, {}, nullptr);
        const double trained = watch.seconds();
        settings_.weight = sum.weight;
        settings_.weight_is_queued = false;  // queue() may have been called before
        const std::span<float> state[] = {{velocity_->data(), model_.parameters().size()}};
        model_.backend().update(settings_, model_.update_ranges(), model_.parameters(), model_.gradients(),
                                state);
        const double whole = watch.seconds();
        return {whole, whole - trained, model_.last_step()};
    }

    // As training does on a device: nothing is waited for but, once this step's gradients are queued, the
    // update before. Seconds that the host spent on queueing.
    double queue() {
        nn::Backend& backend = model_.backend();
        const Stopwatch watch;
        model_.queue_step({pixels_, labels_, samples_, 1, 0}, {}, nullptr);
        const double before = watch.seconds();
        if (std::exchange(updated_, true)) backend.summed();
        const double waited = watch.seconds() - before;
        backend.queue_sums(true, {});
        settings_.weight_is_queued = true;
        const std::span<float> state[] = {{velocity_->data(), model_.parameters().size()}};
        backend.update(settings_, model_.update_ranges(), model_.parameters(), model_.gradients(), state);
        return watch.seconds() - waited;
    }

    double predict(nn::Model& model) const {
        std::vector<float> logits(samples_.size() * static_cast<std::size_t>(model.spec().classes));
        const Stopwatch watch;
        model.predict({pixels_, labels_, samples_, 1, 0}, logits);
        return watch.seconds();
    }

    nn::Model& model() { return model_; }

  private:
    nn::Model model_;
    nn::UpdateSettings settings_;
    std::shared_ptr<nn::Storage> velocity_;
    std::vector<std::uint8_t> pixels_;
    std::vector<std::int32_t> labels_;
    std::vector<std::uint64_t> samples_;
    bool updated_ = false;  // queue() was called before
};

void profile_table(StepSubject& subject, const StepOptions& o) {
    subject.model().profile(true);
    for (int i = 0; i < o.steps; ++i) subject.step();
    Report report("step by operation",
                  {"operation", "forward ms", "backward ms", "forward GFLOP/s", "backward GFLOP/s"});
    std::vector<nn::NodeSeconds> nodes = subject.model().profile();
    std::stable_sort(nodes.begin(), nodes.end(), [](const auto& a, const auto& b) {
        return a.forward + a.backward > b.forward + b.backward;
    });
    const double images = o.batch;
    for (const nn::NodeSeconds& node : nodes) {
        const double calls = static_cast<double>(node.calls),
                     work = 2e-9 * node.multiply_adds * images * calls;
        report.row({node.name, 1e3 * node.forward / calls, 1e3 * node.backward / calls, work / node.forward,
                    node.backward > 0 ? 2 * work / node.backward : 0.0});
    }
    report.finish("");
}

// On a device most of a step is only queued when the host goes on to the next: all steps count as one.
void run_queued(StepSubject& subject, const StepOptions& o) {
    for (int i = 0; i < o.warm_up; ++i) subject.queue();
    subject.model().backend().synchronise();
    std::vector<double> host;
    const Stopwatch watch;
    for (int i = 0; i < o.steps; ++i) host.push_back(subject.queue());
    subject.model().backend().synchronise();
    const double seconds = watch.seconds() / o.steps, rate = o.batch / seconds, queueing = median(host);
    Report report("step", {"model", "frames", "size", "batch", "precision", "conv", "step ms", "host ms",
                           "samples/s", "TFLOP/s"});
    report.row({o.model, o.frames, o.size, o.batch, o.precision, o.conv, 1e3 * seconds, 1e3 * queueing, rate,
                6e-12 * subject.model().multiply_adds(o.batch) / seconds});
    report.figure(fmt::format("step.{}.{}", o.model, o.precision), rate, "samples/s");
    report.figure(fmt::format("step.{}.{}.host_share", o.model, o.precision), queueing / seconds, "");
    report.note(subject.model().backend().description());
    report.finish(o.json);
    if (o.profile) profile_table(subject, o);
}

void run_timed(StepSubject& subject, const StepOptions& o) {
    std::vector<double> whole, upload, forward, loss, backward, update;
    for (int i = -o.warm_up; i < o.steps; ++i) {
        const StepSubject::Seconds s = subject.step();
        if (i < 0) continue;
        whole.push_back(s.step);
        upload.push_back(s.parts.upload);
        forward.push_back(s.parts.forward);
        loss.push_back(s.parts.loss);
        backward.push_back(s.parts.backward);
        update.push_back(s.update);
    }
    Report report("step", {"model", "frames", "size", "batch", "threads", "upload ms", "forward ms",
                           "loss ms", "backward ms", "update ms", "step ms", "samples/s", "GFLOP/s"});
    const double seconds = median(whole), rate = o.batch / seconds;
    report.row({o.model, o.frames, o.size, o.batch, o.threads, 1e3 * median(upload), 1e3 * median(forward),
                1e3 * median(loss), 1e3 * median(backward), 1e3 * median(update), 1e3 * seconds, rate,
                6e-9 * subject.model().multiply_adds(o.batch) / seconds});
    report.figure(fmt::format("step.{}.threads{}", o.model, o.threads), rate, "samples/s");
    report.note(fmt::format("activations held: {:.1f} MB",
                            1e-6 * static_cast<double>(subject.model().activation_bytes())));
    report.finish(o.json);
    if (o.profile) profile_table(subject, o);
}

void run_predict(StepSubject& subject, const StepOptions& o) {
    const auto folded = nn::make_predictor(subject.model(), nn::make_backend(o.backend, backend_options(o)));
    const std::vector<double> seconds = interleaved(
        o.steps, o.warm_up,
        {[&] { return subject.predict(subject.model()); }, [&] { return subject.predict(*folded); }});
    Report report("predict", {"model", "frames", "size", "batch", "threads", "as trained ms", "folded ms",
                              "folded / trained", "samples/s"});
    const double rate = o.batch / seconds[1];
    report.row({o.model, o.frames, o.size, o.batch, o.threads, 1e3 * seconds[0], 1e3 * seconds[1],
                seconds[1] / seconds[0], rate});
    report.figure(fmt::format("predict.{}.threads{}", o.model, o.threads), rate, "samples/s");
    report.note(subject.model().backend().description());
    report.finish(o.json);
}

void run(const StepOptions& o) {
    StepSubject subject(o);
    if (o.predict)
        run_predict(subject, o);
    else if (subject.model().backend().host_memory())
        run_timed(subject, o);
    else
        run_queued(subject, o);
}

}  // namespace

void add_step(CLI::App& bench) {
    CLI::App& step =
        *bench.add_subcommand("step", "A training step of one rank: forward, loss, backward, update");
    auto options = std::make_shared<StepOptions>();
    step.add_option("--model", options->model, "A model of the zoo");
    step.add_option("--frames", options->frames, "Frames a clip")->check(CLI::Range(1, 1024));
    step.add_option("--size", options->size, "Height and width in pixels")->check(CLI::Range(1, 4096));
    step.add_option("--batch", options->batch, "Clips a step")->check(CLI::Range(1, 65536));
    step.add_option("--classes", options->classes)->check(CLI::Range(2, 1000000));
    step.add_option("--threads", options->threads, "Compute threads")->check(CLI::Range(1, 1024));
    step.add_option("--backend", options->backend, "cpu, reference or cuda");
    step.add_option("--precision", options->precision, "Of a backend on a device")
        ->check(CLI::IsMember(nn::precision_names));
    step.add_option("--conv", options->conv, "Whose convolutions a device runs")
        ->check(CLI::IsMember(nn::conv_choice_names));
    step.add_option("--steps", options->steps, "Measured steps; their median counts")
        ->check(CLI::Range(1, 100000));
    step.add_option("--warm-up", options->warm_up, "Steps that do not count")->check(CLI::Range(0, 1000));
    step.add_flag("--predict", options->predict,
                  "Prediction in place of training: as trained, and with its norms folded");
    step.add_flag("--profile", options->profile, "Also the time of every operation");
    step.add_option("--json", options->json, "JSON file (-: JSON instead of the table)");
    step.callback([options] { run(*options); });
}

}  // namespace divs::bench
