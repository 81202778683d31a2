// Models learn: small tasks with known answers.

#include "divs/nn/schedule.hpp"
#include "model_helpers.hpp"
#include "support/catch.hpp"

using namespace divs::nn;
using namespace divs::nn::test;

namespace {

// The state of an optimiser beside a model.
class Trainer {
  public:
    Trainer(Model& model, UpdateSettings settings) : model_(model), settings_(settings) {
        const std::size_t states = settings.optimizer == Optimizer::adamw ? 2 : 1;
        for (std::size_t i = 0; i < states; ++i) state_.emplace_back(model.parameters().size(), 0.0F);
    }
    LossSum step(const Batch& batch, double rate, double max_norm = 0) {
        const LossSum sum = model_.train_step(batch, {}, nullptr);
        settings_.learning_rate = static_cast<float>(rate);
        settings_.weight = sum.weight;
        settings_.clip_norm = max_norm;
        std::vector<std::span<float>> state(state_.begin(), state_.end());
        model_.backend().update(settings_, model_.update_ranges(), model_.parameters(), model_.gradients(),
                                state);
        ++settings_.step;
        return sum;
    }

  private:
    Model& model_;
    UpdateSettings settings_;
    std::vector<std::vector<float>> state_;
};

// Noise with a bright blob of 9x9 pixels that moves right (label 1) or left (label 0) by 3 pixels a frame,
// from anywhere: no single frame tells the label.
Clips moving_blobs(const ModelSpec& spec, int clips, std::uint64_t seed) {
    Clips made(spec, clips, seed);
    const divs::Random random(seed, divs::Stream::synth);
    for (auto& pixel : made.pixels) pixel /= 4;
    for (std::size_t c = 0; c < made.labels.size(); ++c) {
        const int label = static_cast<int>(c % 2), row = static_cast<int>(random.below(2 * c, 23));
        const int start = static_cast<int>(random.below(2 * c + 1, 32));
        made.labels[c] = label;
        for (int f = 0; f < spec.frames; ++f)
            for (int y = row; y < row + 9; ++y)
                for (int x = 0; x < 9; ++x) {
                    const int column = (start + x + (label == 1 ? 3 * f : 96 - 3 * f)) % 32;
                    const std::size_t at =
                        c * made.clip_bytes + static_cast<std::size_t>(((f * 32 + y) * 32 + column) * 3);
                    for (std::size_t k = 0; k < 3; ++k) made.pixels[at + k] = 220;
                }
    }
    return made;
}

// Clips of the same grey frames, brighter from frame to frame (label 1) or darker (label 0), under noise:
// what the frames have in common is the same for both.
Clips ramps(const ModelSpec& spec, int clips, std::uint64_t seed) {
    Clips made(spec, clips, seed);
    const std::size_t frame_bytes = made.clip_bytes / static_cast<std::size_t>(spec.frames);
    for (std::size_t i = 0; i < made.pixels.size(); ++i) {
        const std::size_t clip = i / made.clip_bytes;
        const int frame = static_cast<int>(i % made.clip_bytes / frame_bytes),
                  label = static_cast<int>(clip % 2);
        made.labels[clip] = label;
        made.pixels[i] = static_cast<std::uint8_t>(made.pixels[i] / 4 +
                                                   40 * (label == 1 ? frame : spec.frames - 1 - frame));
    }
    return made;
}

// A cross (label 1) or a square outline (label 0) of 9x9 pixels somewhere in noise, in one of the colours.
Clips shapes(const ModelSpec& spec, int clips, std::uint64_t seed) {
    Clips made(spec, clips, seed);
    const divs::Random random(seed, divs::Stream::synth);
    for (auto& pixel : made.pixels) pixel /= 2;
    for (std::size_t c = 0; c < made.labels.size(); ++c) {
        const int label = static_cast<int>(c % 2);
        const int top = static_cast<int>(random.below(3 * c, 23)),
                  left = static_cast<int>(random.below(3 * c + 1, 23));
        const std::size_t colour = random.below(3 * c + 2, 3);
        made.labels[c] = label;
        for (int y = 0; y < 9; ++y)
            for (int x = 0; x < 9; ++x) {
                const bool cross = y == 4 || x == 4, edge = y == 0 || x == 0 || y == 8 || x == 8;
                if (!(label == 1 ? cross : edge)) continue;
                const std::size_t at =
                    c * made.clip_bytes + static_cast<std::size_t>(((top + y) * 32 + left + x) * 3);
                for (std::size_t k = 0; k < 3; ++k) made.pixels[at + k] = k == colour ? 255 : 0;
            }
    }
    return made;
}

double accuracy(Model& model, const Clips& clips) {
    const std::vector<float> logits = predict(model, clips.all());
    int right = 0;
    for (std::size_t i = 0; i < clips.labels.size(); ++i)
        right += (logits[2 * i + 1] > logits[2 * i]) == (clips.labels[i] == 1);
    return static_cast<double>(right) / static_cast<double>(clips.labels.size());
}

double learn(Model& model, const Clips& train, int steps, std::size_t batch) {
    UpdateSettings settings;
    settings.optimizer = Optimizer::adamw;
    settings.weight_decay = 0.01F;
    Trainer trainer(model, settings);
    Schedule schedule;
    schedule.base = 0.004;
    schedule.total_steps = steps;
    schedule.warmup_steps = steps / 10;
    LossSum last;
    for (int i = 0; i < steps; ++i) {
        const std::size_t first = static_cast<std::size_t>(i) * batch % train.samples.size();
        last = trainer.step(train.part(first, batch), learning_rate(schedule, i), 5);
    }
    return last.loss / last.weight;
}

}  // namespace

TEST_CASE("tiny learns shapes, wherever they are") {
    const ModelSpec spec = zoo_model("tiny", {2, 1, 32, 32});
    Model model(spec, backend("cpu"));
    model.initialise(1);
    learn(model, shapes(spec, 1280, 1), 80, 32);
    CHECK(accuracy(model, shapes(spec, 200, 2)) > 0.95);
}

TEST_CASE("tiny learns which way things move, which no frame tells") {
    const ModelSpec spec = zoo_model("tiny", {2, 4, 32, 32});
    Model model(spec, backend("cpu"));
    model.initialise(1);
    learn(model, moving_blobs(spec, 640, 1), 60, 16);
    CHECK(accuracy(model, moving_blobs(spec, 200, 2)) > 0.95);
}

TEST_CASE("an lstm learns the order of frames, which their mean does not tell") {
    const auto learned = [](const char* last) {
        const ModelSpec spec =
            parse_model(std::string("conv out=6 kernel=3 stride=2 pad=1\nnorm relu\nadaptive_pool\n") + last +
                            "\nlinear out=classes",
                        {2, 4, 8, 8});
        Model model(spec, backend("cpu"));
        model.initialise(1);
        learn(model, ramps(spec, 320, 1), 60, 16);
        return accuracy(model, ramps(spec, 200, 2));
    };
    CHECK(learned("lstm out=10\nframe_mean") > 0.95);
    CHECK(learned("linear out=10\nrelu\nframe_mean") < 0.6);
}

TEST_CASE("every optimiser fits one batch") {
    struct Case {
        Optimizer optimizer;
        float momentum;
        bool nesterov;
        double rate;
    };
    for (const Case& c : {Case{Optimizer::sgd, 0.0F, false, 0.2}, Case{Optimizer::sgd, 0.9F, false, 0.05},
                          Case{Optimizer::sgd, 0.9F, true, 0.05}, Case{Optimizer::adamw, 0, false, 0.003}}) {
        const ModelSpec spec = zoo_model("tiny", {4, 1, 24, 24});
        Model model(spec, backend("cpu"));
        model.initialise(3);
        const Clips clips(spec, 16, 4);
        UpdateSettings settings;
        settings.optimizer = c.optimizer;
        settings.momentum = c.momentum;
        settings.nesterov = c.nesterov;
        settings.weight_decay = 1e-4F;
        Trainer trainer(model, settings);
        const double first = trainer.step(clips.all(), c.rate).loss;
        LossSum last;
        for (int i = 0; i < 40; ++i) last = trainer.step(clips.all(), c.rate);
        INFO(static_cast<int>(c.optimizer) << " " << c.momentum << " " << c.nesterov);
        CHECK(last.loss < 0.1 * first);
        CHECK(last.correct == 16);
    }
}
