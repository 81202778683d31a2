#include <algorithm>
#include <barrier>
#include <limits>
#include <mutex>
#include <thread>

#include "divs/core/error.hpp"
#include "model_helpers.hpp"
#include "support/catch.hpp"

using namespace divs::nn;
using namespace divs::nn::test;
using Catch::Matchers::ContainsSubstring;

namespace {

struct StepResult {
    LossSum sum;
    std::vector<float> gradients, buffers;
    std::vector<GradientRange> announced;
};

StepResult step(Model& model, const Batch& batch, const LossSettings& loss = {}) {
    StepResult result;
    result.sum =
        model.train_step(batch, loss, [&](GradientRange range) { result.announced.push_back(range); });
    result.gradients = copy(model.gradients());
    result.buffers = copy(model.buffers());
    return result;
}

void check_announced(const StepResult& result) {
    std::size_t end = result.gradients.size();
    for (const GradientRange& range : result.announced) {
        CHECK(range.end == end);
        CHECK(range.begin < range.end);
        end = range.begin;
    }
    CHECK(end == 0);
}

Model make(const ModelSpec& spec, std::string_view on, std::uint64_t seed = 1, Reducer* reducer = nullptr) {
    Model model(spec, backend(on), reducer);
    model.initialise(seed);
    return model;
}

// Sums over the threads that share it, each calling in the same order.
class ThreadSum final : public Reducer {
  public:
    explicit ThreadSum(std::ptrdiff_t ranks) : arrived_(ranks) {}
    void sum(std::span<double> values) override {
        {
            const std::lock_guard lock(mutex_);
            total_.resize(values.size(), 0.0);
            for (std::size_t i = 0; i < values.size(); ++i) total_[i] += values[i];
        }
        arrived_.arrive_and_wait();
        std::copy(total_.begin(), total_.end(), values.begin());
        arrived_.arrive_and_wait();
        {
            const std::lock_guard lock(mutex_);
            total_.clear();
        }
        arrived_.arrive_and_wait();
    }

  private:
    std::barrier<> arrived_;
    std::mutex mutex_;
    std::vector<double> total_;
};

}  // namespace

TEST_CASE("gradients of whole models agree with finite differences") {
    for (const std::string kind : {"plain", "residual", "inverted"}) {
        const ModelSpec spec = small_model(kind, 11, kind == "residual" ? 3 : 1);
        Model model = make(spec, "reference", 4);
        const Clips clips(spec, 4, 9);
        const LossSettings loss{0.1F, {1.0F, 0.5F, 2.0F}};
        const StepResult result = step(model, clips.all(), loss);
        const divs::Random random(17, divs::Stream::test);
        for (const ParameterView& view : model.parameter_views()) {
            INFO(kind << " " << view.name);
            const auto values = model.parameters().subspan(view.offset, view.size);
            const std::vector<float> before = copy(values);
            double slope = 0, squares = 0;  // along a random direction that leans to the gradient
            std::vector<double> direction;
            for (std::size_t i = 0; i < view.size; ++i) {
                const double g = static_cast<double>(result.gradients[view.offset + i]);
                direction.push_back(g * random.uniform(view.offset + i, 0.2, 1.8));
                slope += g * direction.back();
                squares += direction.back() * direction.back();
            }
            auto loss_at = [&](double distance) {
                for (std::size_t i = 0; i < view.size; ++i)
                    values[i] = static_cast<float>(static_cast<double>(before[i]) +
                                                   distance * direction[i] / std::sqrt(squares));
                const double value = model.train_step(clips.all(), loss, nullptr).loss;
                std::copy(before.begin(), before.end(), values.begin());
                return value;
            };
            // A bias in front of a norm has no gradient but rounding.
            if (squares < 1e-8) continue;
            const double h = 1e-3;
            const double measured = (loss_at(h) - loss_at(-h)) / (2 * h);
            CHECK(measured == Approx(slope / std::sqrt(squares)).epsilon(0.02).margin(1e-3));
        }
    }
}

namespace {

void check_against_oracle(const ModelSpec& spec, int count, double tolerance) {
    Model oracle = make(spec, "reference"), cpu = make(spec, "cpu");
    const Clips clips(spec, count, 5);
    INFO(spec.architecture << " " << spec.frames << " " << tolerance);
    CHECK(difference(predict(cpu, clips.all()), predict(oracle, clips.all())) < 1e-5);
    const StepResult expected = step(oracle, clips.all()), result = step(cpu, clips.all());
    CHECK(result.sum.loss == Approx(expected.sum.loss).epsilon(1e-4));
    CHECK(result.sum.correct == expected.sum.correct);
    CHECK(difference(result.gradients, expected.gradients) < tolerance);
    CHECK(difference(result.buffers, expected.buffers) < 1e-5);
    check_announced(result);
    check_announced(expected);
}

}  // namespace

TEST_CASE("the CPU backend gives the oracle's step and logits for whole models") {
    const std::vector<std::pair<ModelSpec, int>> cases{
        {zoo_model("tiny", {4, 1, 40, 36}), 3}, {zoo_model("tiny", {2, 4, 32, 32}), 2},
        {small_model("plain", 21), 5},          {small_model("residual", 20, 4), 3},
        {small_model("inverted", 17), 4},       {zoo_model("mobilenet_v2", {3, 1, 64, 64}), 3}};
    for (const auto& [spec, clips] : cases) {
        check_against_oracle(spec, clips, kink_tolerance);
        check_against_oracle(smooth(spec), clips, 1e-4);
    }
}

TEST_CASE("a model gives the same whatever batches it saw before") {
    const ModelSpec spec = zoo_model("tiny", {3, 2, 33, 35});
    Model used = make(spec, "cpu");
    const Clips clips(spec, 9, 2);
    for (const std::size_t count : {5U, 1U, 9U, 3U, 7U, 2U, 8U, 4U, 6U, 5U}) {
        const auto parameters = copy(used.parameters()), buffers = copy(used.buffers());
        Model fresh(spec, backend("cpu"));
        std::copy(parameters.begin(), parameters.end(), fresh.parameters().begin());
        std::copy(buffers.begin(), buffers.end(), fresh.buffers().begin());
        CHECK(predict(used, clips.part(0, count)) == predict(fresh, clips.part(0, count)));
        const StepResult a = step(used, clips.part(0, count)), b = step(fresh, clips.part(0, count));
        CHECK(a.gradients == b.gradients);
        CHECK(a.sum.loss == b.sum.loss);
        CHECK(a.buffers == b.buffers);
    }
}

TEST_CASE("logits of a clip do not depend on the batch that it is in") {
    const ModelSpec spec = zoo_model("tiny", {3, 3, 24, 24});
    Model model = make(spec, "cpu");
    const Clips clips(spec, 7, 2);
    const std::vector<float> all = predict(model, clips.all());
    for (std::size_t i = 0; i < 7; ++i) {
        const std::vector<float> one = predict(model, clips.part(i, 1));
        CHECK(difference(one, std::span(all).subspan(i * 3, 3)) < 1e-5);
    }
}

TEST_CASE("an image model with several frames averages their logits") {
    const ModelSpec image = small_model("plain", 20, 1), clip = small_model("plain", 20, 4);
    Model one = make(image, "cpu"), four = make(clip, "cpu");
    const Clips frames(image, 4, 8);
    std::vector<float> mean(3, 0.0F);
    const std::vector<float> each = predict(one, frames.all());
    for (std::size_t i = 0; i < each.size(); ++i) mean[i % 3] += each[i] / 4;
    Batch batch = frames.all();
    batch.samples = batch.samples.first(1);
    batch.labels = batch.labels.first(1);
    CHECK(difference(predict(four, batch), mean) < 1e-5);
}

TEST_CASE("gradients of the parts of a batch add up to those of the whole") {
    for (const std::string on : {"reference", "cpu"}) {
        const ModelSpec spec = small_model("plain", 19, 2);  // no norm; its dropout goes by sample
        Model model = make(spec, on);
        const Clips clips(spec, 6, 3);
        const LossSettings loss{0.1F, {1.0F, 3.0F, 0.25F}};
        const StepResult whole = step(model, clips.all(), loss);
        const StepResult first = step(model, clips.part(0, 4), loss),
                         second = step(model, clips.part(4, 2), loss),
                         none = step(model, clips.part(0, 0), loss);
        std::vector<float> sum(whole.gradients.size());
        for (std::size_t i = 0; i < sum.size(); ++i)
            sum[i] = first.gradients[i] + second.gradients[i] + none.gradients[i];
        CHECK(difference(sum, whole.gradients) < 1e-5);
        CHECK(first.sum.loss + second.sum.loss + none.sum.loss == Approx(whole.sum.loss).epsilon(1e-6));
        CHECK(first.sum.weight + second.sum.weight + none.sum.weight == Approx(whole.sum.weight));
        CHECK(first.sum.correct + second.sum.correct == whole.sum.correct);
    }
}

TEST_CASE("an empty batch zeroes the gradients and announces like a full one") {
    const ModelSpec spec = zoo_model("tiny", {3, 1, 24, 24});
    Model model = make(spec, "cpu");
    const Clips clips(spec, 2, 3);
    const StepResult before = step(model, clips.part(0, 0));  // before there is any plan
    const StepResult full = step(model, clips.all());
    const StepResult after = step(model, clips.part(0, 0));
    CHECK(difference(full.gradients, before.gradients) > 0);
    for (const StepResult* empty : {&before, &after}) {
        CHECK(empty->gradients == std::vector<float>(full.gradients.size(), 0.0F));
        REQUIRE(empty->announced.size() == full.announced.size());
        for (std::size_t i = 0; i < full.announced.size(); ++i) {
            CHECK(empty->announced[i].begin == full.announced[i].begin);
            CHECK(empty->announced[i].end == full.announced[i].end);
        }
        check_announced(*empty);
        CHECK(empty->sum.loss == 0);
        CHECK(empty->sum.weight == 0);
    }
}

namespace {

void check_two_ranks(const ModelSpec& spec, const std::string& on, std::size_t split, double tolerance) {
    INFO(on << " " << split << " " << tolerance);
    const Clips clips(spec, 5, 3);
    Model whole = make(spec, on);
    const StepResult expected = step(whole, clips.all());
    ThreadSum reducer(2);
    Model left = make(spec, on, 1, &reducer), right = make(spec, on, 1, &reducer);
    StepResult results[2];
    std::thread other([&] { results[1] = step(right, clips.part(split, 5 - split)); });
    results[0] = step(left, clips.part(0, split));
    other.join();
    std::vector<float> sum(expected.gradients.size());
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] = results[0].gradients[i] + results[1].gradients[i];
    CHECK(difference(sum, expected.gradients) < tolerance);
    CHECK(difference(results[0].buffers, expected.buffers) < 1e-5);
    CHECK(difference(results[1].buffers, expected.buffers) < 1e-5);
    CHECK(results[0].sum.loss + results[1].sum.loss == Approx(expected.sum.loss).epsilon(1e-5));
    CHECK(results[0].announced.size() == results[1].announced.size());
}

}  // namespace

TEST_CASE("two ranks with synchronised norms compute what one computes, at any split") {
    const ModelSpec spec = zoo_model("tiny", {3, 2, 24, 24});
    for (const std::size_t split : {3U, 1U, 5U, 0U}) {
        check_two_ranks(spec, "cpu", split, kink_tolerance);
        check_two_ranks(smooth(spec), "cpu", split, 1e-4);
    }
    check_two_ranks(smooth(spec), "reference", 2, 1e-4);
}

TEST_CASE("gradients lie where they are placed, from a model's first step or a later one") {
    const ModelSpec spec = small_model("residual", 11, 3);
    const Clips clips(spec, 3, 12);
    for (const std::string on : {"reference", "cpu"}) {
        Model stays = make(spec, on, 4), moves = make(spec, on, 4);
        for (int i = 0; i < 2; ++i) {
            const auto storage = moves.backend().allocate(moves.gradients().size_bytes());
            std::ranges::fill(std::span(storage->data(), moves.gradients().size()), 3.0F);
            moves.place_gradients(storage);
            CHECK(moves.gradients().data() == storage->data());
            CHECK(std::ranges::all_of(moves.gradients(), [](float value) { return value == 0; }));
            const StepResult expected = step(stays, clips.all()), got = step(moves, clips.all());
            CHECK(got.gradients == expected.gradients);
            check_announced(got);
        }
        CHECK_THROWS_WITH(moves.place_gradients(moves.backend().allocate(64)), ContainsSubstring("expected"));
    }
}

TEST_CASE("frozen parameters have zero gradients, the others keep theirs") {
    const ModelSpec spec = small_model("residual", 16, 2);
    const Clips clips(spec, 3, 6);
    for (const std::vector<std::string>& prefixes :
         std::vector<std::vector<std::string>>{{"conv2", "x"},
                                               {"branch"},
                                               {"conv2", "x", "conv5", "norm6", "conv7", "branch"},
                                               {"conv5.weight"}}) {
        Model model = make(spec, "cpu"), free = make(spec, "cpu");
        model.freeze(prefixes);
        const StepResult frozen = step(model, clips.all()), expected = step(free, clips.all());
        check_announced(frozen);
        for (const ParameterView& view : model.parameter_views()) {
            INFO(view.name);
            const auto part = std::span(frozen.gradients).subspan(view.offset, view.size);
            if (view.frozen)
                CHECK(copy(part) == std::vector<float>(view.size, 0.0F));
            else
                CHECK(difference(part, std::span(expected.gradients).subspan(view.offset, view.size)) < 1e-6);
        }
        model.freeze({});
        CHECK(step(model, clips.all()).gradients == expected.gradients);
    }
    Model model = make(spec, "cpu");
    CHECK_THROWS_WITH(model.freeze({"branhc"}),
                      ContainsSubstring("'branhc'") && ContainsSubstring("did you mean 'branch'"));
    CHECK_THROWS_AS(model.freeze({"bran"}), divs::ConfigError);
}

TEST_CASE("update ranges cover the arena, and norms, biases and frozen parameters stand apart") {
    Model model = make(zoo_model("tiny", {3, 1, 24, 24}), "cpu");
    model.freeze({"stem"});
    std::size_t end = 0;
    for (const UpdateRange& range : model.update_ranges()) {
        CHECK(range.begin == end);
        end = range.end;
        for (const ParameterView& view : model.parameter_views()) {
            if (view.offset < range.begin || view.offset >= range.end) continue;
            CHECK(range.decays == (view.dims.size() > 1));
            CHECK(range.frozen == view.name.starts_with("stem."));
        }
    }
    CHECK(end == model.parameters().size());
}

TEST_CASE("what is not finite is found: in a weight, in an output, in a gradient") {
    const ModelSpec spec = zoo_model("tiny", {3, 1, 24, 24});
    const Clips clips(spec, 2, 3);
    Model model = make(spec, "cpu");
    step(model, clips.all());
    CHECK(model.first_not_finite().empty());
    for (const ParameterView& view : model.parameter_views())
        if (view.name == "block2.conv1.weight")
            model.parameters()[view.offset + 7] = std::numeric_limits<float>::quiet_NaN();
    const StepResult result = step(model, clips.all());
    CHECK(result.sum.first_not_finite == 0);
    CHECK(model.first_not_finite() == "block2.conv1");
    check_announced(result);
    predict(model, clips.all());
    CHECK(model.first_not_finite() == "block2.conv1");
}

TEST_CASE("wrong labels and pixels are named") {
    const ModelSpec spec = zoo_model("tiny", {3, 1, 24, 24});
    Clips clips(spec, 2, 3);
    Model model = make(spec, "reference");
    clips.labels[1] = 3;
    CHECK_THROWS_WITH(step(model, clips.all()),
                      ContainsSubstring("sample 101") && ContainsSubstring("label 3, expected 0 to 2"));
    clips.labels[1] = 2;
    Batch batch = clips.all();
    batch.pixels = batch.pixels.first(100);
    CHECK_THROWS_WITH(step(model, batch), ContainsSubstring("100 bytes of pixels"));
}

TEST_CASE("clips that lie each by itself give what one block of pixels gives, and all must be of one size") {
    const ModelSpec spec = zoo_model("tiny", {3, 1, 24, 24});
    const Clips clips(spec, 3, 5);
    std::vector<std::unique_ptr<divs::Pixels>> held;
    std::vector<divs::Pixels*> each;
    for (std::size_t i = 0; i < 3; ++i) {
        each.push_back(held.emplace_back(divs::host_pixels()->allocate(clips.clip_bytes)).get());
        std::ranges::copy(std::span(clips.pixels).subspan(i * clips.clip_bytes, clips.clip_bytes),
                          each.back()->host().begin());
    }
    for (const char* backend : {"reference", "cpu"}) {
        Model model = make(spec, backend);
        std::vector<float> whole(9), apart(9);
        model.predict(clips.all(), whole);
        Batch batch = clips.all();
        batch.pixels = {};
        batch.clip_pixels = each;
        model.predict(batch, apart);
        CHECK(apart == whole);

        std::vector<divs::Pixels*> two(each.begin(), each.begin() + 2);
        batch.clip_pixels = two;
        CHECK_THROWS_WITH(model.predict(batch, apart), ContainsSubstring("as many of each"));
        const auto small = divs::host_pixels()->allocate(clips.clip_bytes - 3),
                   large = divs::host_pixels()->allocate(clips.clip_bytes + 3);
        std::vector<divs::Pixels*> uneven{each[0], small.get(), large.get()};
        batch.clip_pixels = uneven;  // together as many bytes as there must be
        CHECK_THROWS_WITH(model.predict(batch, apart), ContainsSubstring("as many of each"));
    }
}

TEST_CASE("memory stays bounded over many batch sizes, and inference reuses buffers") {
    const ModelSpec spec = zoo_model("tiny", {3, 1, 48, 48});
    const Clips clips(spec, 12, 3);
    Model model = make(spec, "cpu");
    step(model, clips.all());
    const std::size_t training = model.activation_bytes();
    for (std::size_t count = 1; count <= 12; ++count) step(model, clips.part(0, count));
    CHECK(model.activation_bytes() == training);
    Model reader = make(spec, "cpu");
    predict(reader, clips.all());
    CHECK(reader.activation_bytes() * 2 < training);
}

TEST_CASE("a profile counts every operation") {
    const ModelSpec spec = zoo_model("tiny", {3, 1, 24, 24});
    const Clips clips(spec, 2, 3);
    Model model = make(spec, "cpu");
    model.profile(true);
    step(model, clips.all());
    step(model, clips.all());
    double sum = 0;
    for (const NodeSeconds& node : model.profile()) {
        CHECK(node.calls == 2);
        CHECK(node.forward > 0);
        sum += node.multiply_adds;
    }
    CHECK(sum == Approx(model.multiply_adds(1)));
    CHECK(model.last_step().backward > 0);
}
