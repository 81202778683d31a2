// Whole training steps between ranks on devices: the cuda backend on the double of the device, whose streams
// work late and in any order that their marks allow, and NCCL's double between them. The oracle has all of
// each batch.
#include <array>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "cuda/backend.hpp"
#include "divs/core/random.hpp"
#include "divs/nn/schedule.hpp"
#include "divs/train/synchroniser.hpp"
#include "kernels/host/device_double.hpp"
#include "mpi/world.hpp"
#include "support/catch.hpp"
#include "support/nccl_calls.hpp"
#include "unit/nn/model_helpers.hpp"

using namespace divs;
using namespace divs::train;
using divs::nn::test::difference;
using divs::test::nccl_calls;
using divs::test::world;
using kernels::host::device;
using kernels::host::StreamOrder;

namespace {

constexpr int height = 10, width = 9, classes = 5;
constexpr std::uint64_t steps = 6;

nn::ModelSpec spec(bool norms) {
    return nn::parse_model(norms ? R"(
conv1 = conv out=12 kernel=3 pad=1
norm1 = norm relu
conv2 = conv out=12 kernel=3 pad=1
norm2 = norm relu from=conv2,norm1
pool = adaptive_pool
fc = linear out=classes
)"
                                 : R"(
conv1 = conv out=12 kernel=3 pad=1 bias
relu
conv2 = conv out=10 kernel=3 pad=1 bias
relu
pool = adaptive_pool
fc = linear out=classes
)",
                           {classes, 1, height, width});
}

// How many clips of a batch a rank takes: the same for several steps, so that they are recorded; then the
// last rank has none.
int share(int rank, std::uint64_t step) {
    return step == 4 && rank > 0 && rank + 1 == world().size() ? 0 : 2 + rank;
}

struct Clips {
    std::vector<std::uint8_t> pixels;
    std::vector<std::int32_t> labels;
    std::vector<std::uint64_t> samples;
    nn::Batch batch() const { return {.pixels = pixels, .labels = labels, .samples = samples, .seed = 7}; }
};

void add_clips(Clips& clips, int rank, std::uint64_t step) {
    const Random random(step, Stream::test, static_cast<std::uint64_t>(rank));
    const auto count = static_cast<std::uint64_t>(share(rank, step));
    for (std::uint64_t i = 0; i < count * height * width * 3; ++i)
        clips.pixels.push_back(static_cast<std::uint8_t>(random.below(i, 256)));
    for (std::uint64_t i = 0; i < count; ++i) {
        clips.labels.push_back(static_cast<std::int32_t>(random.below(1000000 + i, classes)));
        clips.samples.push_back(i);
    }
}

Settings settings_of(double clip_norm, nn::Optimizer optimizer) {
    Settings settings;
    settings.run.bucket_mib = 0.002;
    settings.run.norm = Norm::sync;
    settings.optimizer.clip_norm = clip_norm;
    settings.optimizer.update.optimizer = optimizer;
    settings.scheduler.quantum = 1;
    return settings;
}

std::vector<float> values_of(nn::Backend& backend, std::span<const float> array) {
    std::vector<float> values(array.size());
    backend.read(array, values.data());
    return values;
}

// A rank on a device of its own, as a run drives it.
class OnDevice {
  public:
    OnDevice(const Settings& settings, bool norms)
        : settings_(settings),
          reducer_(world()),
          model_(spec(norms), nn::cuda::make_backend(options()), world().size() > 1 ? &reducer_ : nullptr) {
        model_.initialise(3);
        synchroniser_.emplace(model_, world(), reducer_, settings_);
    }
    static nn::BackendOptions options() {
        device().devices = 8;
        nn::BackendOptions options;
        options.device = world().rank();
        return options;
    }

    // The outcome of the step before.
    std::optional<StepOutcome> step(std::uint64_t number, bool overflow = false,
                                    Synchroniser::Wishes wishes = {}) {
        Clips clips;
        add_clips(clips, world().rank(), number);
        const auto kept = bring(clips);
        const auto before = device().counts.blocks;
        synchroniser_->compute(
            {.labels = clips.labels, .samples = clips.samples, .seed = 7, .clip_pixels = kept}, {}, 1);
        const auto waited = device().counts.blocks;
        const auto outcome = settle();
        const auto settled = device().counts.blocks;
        synchroniser_->reduce(wishes);
        if (overflow) {
            const float bad = std::numeric_limits<float>::infinity();
            model_.backend().write(&bad, model_.gradients().subspan(3, 1));
        }
        synchroniser_->update(static_cast<std::int64_t>(number), 0.05F);
        if (!overflow) blocks_ = waited - before + device().counts.blocks - settled;
        under_way_ = true;
        CHECK(synchroniser_->settles_late());
        return outcome;
    }
    std::optional<StepOutcome> settle() {
        if (!std::exchange(under_way_, false)) return std::nullopt;
        const StepOutcome outcome = synchroniser_->settle();
        CHECK(outcome.times.compute >= 0);
        CHECK(outcome.times.exposed >= 0);
        return outcome;
    }
    // How often the last step waited for the device, but to settle the one before.
    std::int64_t blocks() const noexcept { return blocks_; }
    nn::Model& model() noexcept { return model_; }
    std::vector<float> parameters() { return values_of(model_.backend(), model_.parameters()); }
    std::vector<std::vector<float>> state() {
        std::vector<std::vector<float>> all{parameters()};
        for (const auto& [name, array] : synchroniser_->state())
            all.push_back(values_of(model_.backend(), array));
        return all;
    }

  private:
    // The clips as a feed has them ready, for this step and the one that is not settled yet.
    std::vector<Pixels*> bring(const Clips& clips) {
        auto& kept = clips_[brought_++ % 2];
        kept.clear();
        std::vector<Pixels*> all;
        constexpr std::size_t bytes = height * width * 3;
        for (std::size_t i = 0; i < clips.samples.size(); ++i) {
            kept.push_back(model_.backend().pixel_memory()->allocate(bytes));
            std::ranges::copy(std::span(clips.pixels).subspan(i * bytes, bytes), kept.back()->host().begin());
            kept.back()->filled();
            all.push_back(kept.back().get());
        }
        return all;
    }

    Settings settings_;
    NormReducer reducer_;
    nn::Model model_;
    std::optional<Synchroniser> synchroniser_;
    std::array<std::vector<std::unique_ptr<Pixels>>, 2> clips_;
    std::size_t brought_ = 0;
    bool under_way_ = false;
    std::int64_t blocks_ = 0;
};

// Comparable where there are numbers that equal nothing.
std::vector<std::uint32_t> bits_of(const std::vector<std::vector<float>>& arrays) {
    std::vector<std::uint32_t> bits;
    for (const auto& array : arrays)
        std::ranges::transform(array, std::back_inserter(bits),
                               [](float value) { return std::bit_cast<std::uint32_t>(value); });
    return bits;
}

struct Expected {
    std::vector<float> parameters;
    std::vector<double> norms;
    std::vector<nn::LossSum> losses;
};

Expected by_oracle(const Settings& settings, bool norms) {
    nn::Model model(spec(norms), nn::make_backend("reference", {}));
    model.initialise(3);
    std::vector<std::vector<float>> state(2, std::vector<float>(model.parameters().size()));
    std::vector<std::span<float>> spans(state.begin(), state.end());
    spans.resize(settings.optimizer.update.optimizer == nn::Optimizer::sgd ? 1 : 2);
    Expected expected;
    for (std::uint64_t step = 0; step < steps; ++step) {
        Clips clips;
        for (int rank = 0; rank < world().size(); ++rank) add_clips(clips, rank, step);
        nn::UpdateSettings update = settings.optimizer.update;
        expected.losses.push_back(model.train_step(clips.batch(), {}, nullptr));
        update.weight = expected.losses.back().weight;
        update.clip_norm = settings.optimizer.clip_norm;
        update.learning_rate = 0.05F;
        update.step = static_cast<std::int64_t>(step) + 1;
        model.backend().update(update, model.update_ranges(), model.parameters(), model.gradients(), spans);
        expected.norms.push_back(model.backend().gradient_norm());
    }
    expected.parameters = values_of(model.backend(), model.parameters());
    return expected;
}

// The order of the device's streams, for as long as a test case runs.
class Streams {
  public:
    explicit Streams(StreamOrder order) {
        device().streams = order;
        device().seed = static_cast<std::uint64_t>(world().rank()) + 11;
    }
    ~Streams() { device() = {}; }
};

}  // namespace

TEST_CASE(
    "steps on devices are those of one rank with the whole batch, and the host waits for none of them") {
    const Streams streams(
        GENERATE(StreamOrder::oldest_first, StreamOrder::youngest_first, StreamOrder::shuffled));
    const double clip_norm = GENERATE(0.0, 0.05);
    const bool norms = GENERATE(false, true);
    const Settings settings = settings_of(clip_norm, norms ? nn::Optimizer::sgd : nn::Optimizer::adamw);
    const Expected expected = by_oracle(settings, norms);
    const std::string calls_before = nccl_calls();
    std::vector<StepOutcome> seen;
    {
        OnDevice rank(settings, norms);
        for (std::uint64_t step = 0; step < steps; ++step) {
            const auto before = device().counts;
            if (const auto outcome = rank.step(step)) seen.push_back(*outcome);
            const auto after = device().counts;
            if (step > 0) CHECK(rank.blocks() == 0);
            if (step > 1 && share(world().rank(), step) > 0) CHECK(after.allocations == before.allocations);
            if (step == 3) CHECK(after.graph_launches > before.graph_launches);
        }
        seen.push_back(*rank.settle());
        CHECK(difference(rank.parameters(), expected.parameters) < 1e-4);
    }
    REQUIRE(seen.size() == steps);
    for (std::size_t i = 0; i < steps; ++i) {
        const StepTotals& totals = seen[i].totals;
        CHECK(seen[i].gradient_norm == Approx(expected.norms[i]).epsilon(1e-3));
        CHECK(totals.loss == Approx(expected.losses[i].loss).epsilon(1e-3));
        CHECK(totals.weight == expected.losses[i].weight);
        CHECK(totals.samples == expected.losses[i].weight);
        CHECK(totals.correct == static_cast<double>(expected.losses[i].correct));
        CHECK_FALSE((totals.diverged || totals.stop || totals.save || seen[i].bad_row >= 0));
    }
    const std::string calls = nccl_calls().substr(calls_before.size());
    CHECK((calls.find("double") != std::string::npos) == (world().size() > 1));  // counts, and norms
    CHECK(calls.find("abort") == std::string::npos);
    comm::require_equal(world(), std::as_bytes(std::span(calls)), "the order of NCCL's calls");
}

TEST_CASE("an update whose gradient is not finite changes nothing on any rank, and is heard of late") {
    const Streams streams(StreamOrder::shuffled);
    for (const auto optimizer : {nn::Optimizer::sgd, nn::Optimizer::adamw}) {
        OnDevice rank(settings_of(0.1, optimizer), false);
        for (std::uint64_t step = 0; step < 3; ++step) rank.step(step);
        CHECK(std::isfinite(rank.settle()->gradient_norm));
        const auto before = rank.state();
        rank.step(3, true);
        CHECK(rank.state() == before);
        CHECK_FALSE(std::isfinite(rank.step(3)->gradient_norm));
        CHECK(std::isfinite(rank.settle()->gradient_norm));
        CHECK(rank.state() != before);
    }
}

TEST_CASE("a loss that is not finite on one rank is heard of late by all, with its row and layer") {
    const Streams streams(StreamOrder::shuffled);
    const bool norms = GENERATE(false, true);
    const int broken = world().size() - 1;
    OnDevice rank(settings_of(0, nn::Optimizer::sgd), norms);
    for (std::uint64_t step = 0; step < 3; ++step) rank.step(step);
    rank.settle();
    const auto& views = rank.model().parameter_views();
    const auto found = std::ranges::find(views, "conv2.weight", &nn::ParameterView::name);
    REQUIRE(found != views.end());
    if (world().rank() == broken) {
        const float nan = std::nanf("");
        rank.model().backend().write(&nan, rank.model().parameters().subspan(found->offset + 5, 1));
    }
    const auto before = bits_of(rank.state());
    rank.step(3);
    CHECK(bits_of(rank.state()) == before);
    const auto outcome = rank.step(5);  // queued before that is heard of
    REQUIRE(outcome);
    CHECK(outcome->totals.diverged);
    const bool bad = world().rank() == broken || norms;  // statistics go to all ranks
    CHECK((outcome->bad_row >= 0) == bad);
    Clips clips;
    add_clips(clips, world().rank(), 3);
    rank.model().look_again(clips.batch());
    if (world().rank() == broken) CHECK(rank.model().first_not_finite() == "conv2");
    CHECK(rank.settle()->totals.diverged);
}

TEST_CASE("what one rank wishes reaches all with the next step") {
    const Streams streams(StreamOrder::shuffled);
    OnDevice rank(settings_of(0, nn::Optimizer::sgd), false);
    const int last = world().size() - 1;
    rank.step(0, false, {.stop = world().rank() == last, .save = false});
    const auto first = rank.step(1, false, {.stop = false, .save = world().rank() == 0});
    REQUIRE(first);
    CHECK((first->totals.stop && !first->totals.save));
    const StepOutcome second = *rank.settle();
    CHECK((second.totals.save && !second.totals.stop));
}
