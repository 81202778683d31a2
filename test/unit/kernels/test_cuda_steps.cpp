// Whole models on the cuda backend, on the double of the device or on a real one: the oracle's numbers, steps
// recorded as graphs that give the same numbers as steps that are not, nothing allocated and no wait for the
// device inside a step.
#include <cmath>

#include "cuda/backend.hpp"
#include "divs/core/random.hpp"
#include "divs/nn/model.hpp"
#include "kernels/host/device_double.hpp"
#include "support/catch.hpp"
#include "unit/kernels/orders.hpp"
#include "unit/nn/model_helpers.hpp"

using namespace divs;
using namespace divs::nn;
using divs::nn::test::difference;
using divs::test::InStreamOrders;
using divs::test::run_seed;
using kernels::host::device;

namespace {

// A residual network of three frames with shifts that fold and one that does not (two read it), every
// pooling, an LSTM, dropout and a linear layer; odd channels.
ModelSpec spec() {
    return parse_model(R"(
conv1 = conv out=12 kernel=3 pad=1
norm1 = norm relu
pool1 = maxpool kernel=3 stride=2 pad=1
shift1 = shift divisor=4
conv2 = conv out=12 kernel=3 pad=1
norm2 = norm relu from=conv2,pool1
shift2 = shift divisor=4
conv3 = conv out=10 kernel=1 bias
conv4 = conv out=10 kernel=3 pad=1 from=shift2
sum = add from=conv3,conv4
pool2 = avgpool kernel=2
pool3 = adaptive_pool
memory = lstm out=9
drop = dropout rate=0.3
fc = linear out=classes
)",
                       {5, 3, 12, 10});
}

struct Data {
    std::vector<std::uint8_t> pixels;
    std::vector<std::int32_t> labels;
    std::vector<std::uint64_t> samples;
    Batch batch(std::uint64_t epoch) const { return {pixels, labels, samples, 7, epoch}; }
};

Data data_of(int clips, std::uint64_t which) {
    Data data;
    const Random random(run_seed(), Stream::test, which);
    data.pixels.resize(static_cast<std::size_t>(clips) * 3 * 12 * 10 * 3);
    for (std::size_t i = 0; i < data.pixels.size(); ++i)
        data.pixels[i] = static_cast<std::uint8_t>(random.below(i, 256));
    for (int i = 0; i < clips; ++i) {
        data.labels.push_back(
            static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(1000000 + i), 5)));
        data.samples.push_back(which * 100 + static_cast<std::uint64_t>(i));
    }
    return data;
}

std::vector<float> copy_of(Model& model, std::span<float> arena) {
    std::vector<float> values(arena.size());
    model.backend().read(arena, values.data());
    return values;
}

class Trainee {
  public:
    Trainee(std::shared_ptr<Backend> backend, const RecordOptions& recording)
        : model(spec(), std::move(backend)) {
        model.initialise(3);
        model.record_steps(recording);
        velocity = model.backend().allocate(model.parameters().size_bytes());
    }
    LossSum step(const Data& data, std::uint64_t epoch) {
        ranges.clear();
        LossSettings loss;
        loss.smoothing = 0.1F;
        loss.class_weights = {1, 2, 1, 0.5F, 1};
        const LossSum sum =
            model.train_step(data.batch(epoch), loss, [&](GradientRange r) { ranges.push_back(r); });
        UpdateSettings update;
        update.weight = sum.weight;
        update.clip_norm = clip_norm;
        const std::span<float> state[] = {{velocity->data(), model.parameters().size()}};
        model.backend().update(update, model.update_ranges(), model.parameters(), model.gradients(), state);
        return sum;
    }

    Model model;
    std::shared_ptr<Storage> velocity;
    std::vector<GradientRange> ranges;
    double clip_norm = 0;
};

std::shared_ptr<Backend> on_device(Precision precision = Precision::float32) {
    BackendOptions options;
    options.precision = precision;
    return cuda::make_backend(options);
}

RecordOptions never() {
    RecordOptions options;
    options.quantum = 0;
    return options;
}

}  // namespace

TEST_CASE("A model on cuda trains as on the oracle, in float32 and in bfloat16", "[cuda]") {
    const InStreamOrders orders;
    for (const auto& [precision, bound] :
         {std::pair{Precision::float32, 2e-4}, std::pair{Precision::bfloat16, 0.08}}) {
        Trainee oracle(make_backend("reference", {}), never()), trainee(on_device(precision), {});
        for (std::uint64_t step = 0; step < 4; ++step) {
            const Data data = data_of(4, step);
            const LossSum expected = oracle.step(data, step), actual = trainee.step(data, step);
            CHECK(actual.loss == Approx(expected.loss).epsilon(bound));
            CHECK(actual.weight == Approx(expected.weight));
            if (step == 0)
                CHECK(difference(copy_of(trainee.model, trainee.model.gradients()),
                                 copy_of(oracle.model, oracle.model.gradients())) < bound);
        }
        CHECK(difference(copy_of(trainee.model, trainee.model.parameters()),
                         copy_of(oracle.model, oracle.model.parameters())) < bound);
        std::vector<float> a(20), b(20);
        const Data data = data_of(4, 9);
        oracle.model.predict(data.batch(0), b);
        trainee.model.predict(data.batch(0), a);
        CHECK(difference(a, b) < 3 * bound);
    }
}

TEST_CASE("Recorded steps give the numbers of steps that are not, for every batch size and cut", "[cuda]") {
    const InStreamOrders orders;
    Trainee plain(on_device(), never());
    std::vector<std::size_t> starts;
    for (const auto& view : plain.model.parameter_views()) starts.push_back(view.offset);
    RecordOptions cut;
    cut.cuts = {0, starts[3], starts[6]};
    Trainee whole(on_device(), {}), in_parts(on_device(), cut);
    const std::int64_t before = device().counts.graph_launches;
    for (std::uint64_t step = 0; step < 8; ++step) {
        const Data data = data_of(step % 3 == 2 ? 2 : 4, step);  // two sizes take turns
        const LossSum expected = plain.step(data, step);
        for (Trainee* trainee : {&whole, &in_parts}) {
            const LossSum actual = trainee->step(data, step);
            CHECK(actual.loss == expected.loss);
            CHECK(actual.correct == expected.correct);
            CHECK(copy_of(trainee->model, trainee->model.gradients()) ==
                  copy_of(plain.model, plain.model.gradients()));
            CHECK(copy_of(trainee->model, trainee->model.parameters()) ==
                  copy_of(plain.model, plain.model.parameters()));
            CHECK(trainee->ranges.size() == plain.ranges.size());
        }
    }
    CHECK(device().counts.graph_launches > before);
}

TEST_CASE("A recorded step allocates nothing, and waits for the device only to read the loss", "[cuda]") {
    const InStreamOrders orders;
    RecordOptions options;
    Trainee trainee(on_device(Precision::bfloat16), options);
    trainee.clip_norm = GENERATE(0.0, 0.01);
    for (std::uint64_t step = 0; step < 3; ++step) trainee.step(data_of(4, step), step);
    const auto before = device().counts;
    for (std::uint64_t step = 3; step < 6; ++step) trainee.step(data_of(4, step), step);
    const auto after = device().counts;
    CHECK(after.allocations == before.allocations);
    CHECK(after.graph_launches - before.graph_launches == 3 * 2);  // forward with the loss, backward
    CHECK(after.waits - before.waits == 3 * 2);  // for the pixels' buffer of two steps ago, the loss
}

TEST_CASE("Graphs are cut where buckets begin, and what is above a cut is announced before what is below",
          "[cuda]") {
    const InStreamOrders orders;
    Trainee trainee(on_device(), {});
    std::vector<std::size_t> starts;
    for (const auto& view : trainee.model.parameter_views()) starts.push_back(view.offset);
    for (const std::size_t cuts : {1, 2, 4}) {
        RecordOptions options;
        for (std::size_t i = 0; i < cuts; ++i) options.cuts.push_back(starts[i * starts.size() / cuts]);
        trainee.model.record_steps(options);
        trainee.step(data_of(2, 1), 1);
        trainee.step(data_of(2, 2), 2);
        const auto before = device().counts.graph_launches;
        trainee.step(data_of(2, 3), 3);
        CHECK(device().counts.graph_launches - before == static_cast<std::int64_t>(1 + cuts));
        CHECK(trainee.ranges.front().end == trainee.model.parameters().size());
        CHECK(trainee.ranges.back().begin == 0);
    }
}

TEST_CASE("Batches that are no multiple of the quantum, profiles and frozen layers run right", "[cuda]") {
    const InStreamOrders orders;
    RecordOptions options;
    options.quantum = 4;
    Trainee trainee(on_device(), options), plain(on_device(), never());
    auto both = [&](int clips, std::uint64_t step) {
        const auto before = device().counts.graph_launches;
        trainee.step(data_of(clips, step), step);
        const bool recorded = device().counts.graph_launches > before;
        plain.step(data_of(clips, step), step);
        CHECK(copy_of(trainee.model, trainee.model.parameters()) ==
              copy_of(plain.model, plain.model.parameters()));
        return recorded;
    };
    for (std::uint64_t step = 0; step < 3; ++step) CHECK_FALSE(both(3, step));
    CHECK_FALSE(both(4, 3));
    CHECK(both(4, 4));
    CHECK_FALSE(both(3, 5));
    CHECK(both(4, 6));
    trainee.model.profile(true);
    CHECK_FALSE(both(4, 7));
    trainee.model.profile(false);
    for (Trainee* t : {&trainee, &plain}) t->model.freeze({"conv1", "norm1"});
    CHECK_FALSE(both(4, 8));  // planned anew
    CHECK(both(4, 9));
    CHECK(both(4, 10));
    both(8, 11);  // more memory: the smaller plan's addresses change
    CHECK_FALSE(both(4, 12));
    CHECK(both(4, 13));
}

TEST_CASE("A loss that is not finite names the layer on a device too", "[cuda]") {
    const InStreamOrders orders;
    Trainee trainee(on_device(), {});
    for (std::uint64_t step = 0; step < 3; ++step) trainee.step(data_of(2, step), step);
    const auto& views = trainee.model.parameter_views();
    const auto found =
        std::find_if(views.begin(), views.end(), [](const auto& v) { return v.name == "conv2.weight"; });
    REQUIRE(found != views.end());
    const float nan = std::nanf("");
    trainee.model.backend().write(&nan, trainee.model.parameters().subspan(found->offset + 5, 1));
    const Data data = data_of(2, 3);
    const LossSum sum = trainee.step(data, 3);
    CHECK(sum.first_not_finite == 0);
    trainee.model.look_again(data.batch(3));
    CHECK(trainee.model.first_not_finite() == "conv2");
}
