// Norms over all ranks on the double of the device, summed where they lie: no wait for the device, and
// recorded steps give the numbers of steps that are not.
#include <algorithm>

#include "cuda/backend.hpp"
#include "divs/core/random.hpp"
#include "divs/nn/model.hpp"
#include "kernels/host/device_double.hpp"
#include "support/catch.hpp"
#include "unit/kernels/orders.hpp"

using namespace divs;
using namespace divs::nn;
using divs::test::InStreamOrders;
using divs::test::run_seed;
using kernels::host::device;

namespace {

ModelSpec spec() {
    return parse_model(R"(
conv1 = conv out=12 kernel=3 pad=1
norm1 = norm relu
conv2 = conv out=12 kernel=3 pad=1
norm2 = norm relu from=conv2,norm1
pool = adaptive_pool
fc = linear out=classes
)",
                       {5, 1, 10, 9});
}

// As if so many ranks had the same clips: on the communication stream, as NCCL would, or on the host.
class Copies final : public Reducer {
  public:
    Copies(double ranks, std::shared_ptr<DeviceStream> stream) : ranks_(ranks), stream_(std::move(stream)) {
        if (stream_)
            for (auto* mark : {&ready_, &done_}) *mark = stream_->make_mark();
    }
    bool on_device() const noexcept override { return stream_ != nullptr; }
    void sum(std::span<double> values) override {
        lengths.push_back(values.size());
        const auto add = [values, ranks = ranks_] {
            for (double& v : values) v *= ranks;
        };
        if (!stream_) return add();
        stream_->mark_compute(*ready_);
        stream_->wait_for(*ready_);
        kernels::host::queue(static_cast<cudaStream_t>(stream_->handle()), add);
        stream_->mark(*done_);
        stream_->compute_waits_for(*done_);
    }
    std::vector<std::size_t> lengths;

  private:
    double ranks_;
    std::shared_ptr<DeviceStream> stream_;
    std::unique_ptr<DeviceMark> ready_, done_;
};

struct Replica {
    Replica(const std::shared_ptr<Backend>& backend, double ranks, bool on_device, int quantum)
        : reducer(ranks, on_device ? backend->communication_stream() : nullptr),
          model(spec(), backend, &reducer) {
        model.initialise(3);
        RecordOptions options;
        options.quantum = quantum;
        options.cuts = {0, model.parameter_views()[4].offset};
        model.record_steps(options);
        velocity = backend->allocate(model.parameters().size_bytes());
    }
    LossSum step(int clips, std::uint64_t number, double clip_norm = 0) {
        const Random random(run_seed(), Stream::test, number);
        std::vector<std::uint8_t> pixels(static_cast<std::size_t>(clips) * 10 * 9 * 3);
        for (std::size_t i = 0; i < pixels.size(); ++i)
            pixels[i] = static_cast<std::uint8_t>(random.below(i, 256));
        std::vector<std::int32_t> labels;
        std::vector<std::uint64_t> samples;
        for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(clips); ++i) {
            labels.push_back(static_cast<std::int32_t>(random.below(1000000 + i, 5)));
            samples.push_back(i);
        }
        const LossSum sum =
            model.train_step({pixels, labels, samples, 7, number}, {}, [](const GradientRange&) {});
        UpdateSettings update;
        update.learning_rate = 0.02F;
        update.weight = std::max(sum.weight, 1.0);
        update.clip_norm = clip_norm;
        const std::span<float> state[] = {{velocity->data(), model.parameters().size()}};
        model.backend().update(update, model.update_ranges(), model.parameters(), model.gradients(), state);
        return sum;
    }
    std::vector<float> learned() {
        std::vector<float> values(model.parameters().size());
        model.backend().read(model.parameters(), values.data());
        return values;
    }

    Copies reducer;
    Model model;
    std::shared_ptr<Storage> velocity;
};

}  // namespace

TEST_CASE("cuda: norms summed on the device, recorded or not, give the numbers of the host's sums",
          "[cuda]") {
    const InStreamOrders orders;
    Replica oracle(make_backend("reference", {}), 3, false, 0);
    Replica through_host(cuda::make_backend({}), 3, false, 1), plain(cuda::make_backend({}), 3, true, 0),
        recorded(cuda::make_backend({}), 3, true, 2);
    for (std::uint64_t number = 0; number < 8; ++number) {
        const int clips = number == 3 ? 0 : number % 3 == 2 ? 3 : 4;  // none; no multiple of the quantum
        const LossSum expected = oracle.step(clips, number);
        for (Replica* replica : {&through_host, &plain, &recorded}) {
            CHECK(replica->step(clips, number).loss == Approx(expected.loss).epsilon(2e-4));
            CHECK(replica->reducer.lengths == oracle.reducer.lengths);  // one order, on all ways
        }
        CHECK(plain.learned() == through_host.learned());
        CHECK(recorded.learned() == plain.learned());
    }
}

TEST_CASE("cuda: a step with norms over all ranks is cut at their sums, and waits for the loss alone",
          "[cuda]") {
    const InStreamOrders orders;
    for (const double clip_norm : {0.0, 0.01}) {
        Replica replica(cuda::make_backend({}), 2, true, 1);
        for (std::uint64_t number = 0; number < 3; ++number) replica.step(4, number, clip_norm);
        const auto before = device().counts;
        replica.step(4, 3, clip_norm);
        const auto after = device().counts;
        // Forward: two norms, three pieces. Backward: two stretches, each with a norm in it.
        CHECK(after.graph_launches - before.graph_launches == 3 + 2 + 2);
        CHECK(after.allocations == before.allocations);
        CHECK(after.waits - before.waits == 2);  // for the pixels' buffer of two steps ago, the loss
    }
}
