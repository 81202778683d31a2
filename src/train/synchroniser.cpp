#include "divs/train/synchroniser.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "divs/core/error.hpp"
#include "divs/core/log.hpp"
#include "divs/nn/host_view.hpp"

namespace divs::train {
namespace {

std::vector<std::size_t> boundaries(const nn::Model& model) {
    std::vector<std::size_t> starts;
    for (const auto& view : model.parameter_views()) starts.push_back(view.offset);
    return starts;
}

// FNV-1a over 64-bit words: equal for equal bits, and quick enough to run every few hundred steps.
std::uint64_t hash_values(std::span<const float> values) {
    std::uint64_t hash = 0xCBF29CE484222325ULL;
    for (const float value : values) {
        std::uint32_t bits;
        std::memcpy(&bits, &value, sizeof bits);
        hash = (hash ^ bits) * 0x100000001B3ULL;
    }
    return hash;
}

// Beside what DeviceSums has of the loss.
std::array<double, 3> numbers_of(int clips, Synchroniser::Wishes wishes) {
    return {static_cast<double>(clips), static_cast<double>(wishes.stop), static_cast<double>(wishes.save)};
}

StepTotals totals_of(std::span<const double> sums) {
    using nn::DeviceSums;
    const auto more = sums.subspan(DeviceSums::more);
    return {.loss = sums[DeviceSums::loss],
            .weight = sums[DeviceSums::weight],
            .samples = more[0],
            .correct = sums[DeviceSums::correct],
            .stop = more[1] > 0,
            .save = more[2] > 0,
            .diverged = sums[DeviceSums::not_finite] > 0};
}

// This rank's part of the memory that the ranks share.
class SharedGradients final : public nn::Storage {
  public:
    explicit SharedGradients(std::shared_ptr<const comm::SharedMemory> memory)
        : memory_(std::move(memory)), part_(memory_->part(memory_->rank())) {}
    float* data() noexcept override { return part_.data(); }
    std::size_t bytes() const noexcept override { return part_.size_bytes(); }

  private:
    std::shared_ptr<const comm::SharedMemory> memory_;
    std::span<float> part_;
};

}  // namespace

void NormReducer::sum(std::span<double> values) {
    if (on_device()) return buckets_->sum(values);
    const comm::Work work = world_.sum(values, "norm statistics");
    work.wait();
    waited_ += work.waited_seconds();
}

Synchroniser::Synchroniser(nn::Model& model, comm::World& world, NormReducer& norms, const Settings& settings)
    : model_(model),
      world_(world),
      norms_(norms),
      settings_(settings),
      stream_(model.backend().communication_stream()),
      ranges_(model.update_ranges()),
      steps_{Step(stream_), Step(stream_)},
      late_(stream_ != nullptr) {
    if (world.size() > 1) choose_path();
    record_steps();
    const bool sgd = settings.optimizer.update.optimizer == nn::Optimizer::sgd;
    for (const char* name :
         sgd ? std::vector<const char*>{"momentum"} : std::vector<const char*>{"moment1", "moment2"})
        state_.emplace_back(name, model.backend().allocate(model.parameters().size_bytes()));
}

// The bits of a deterministic run depend on the number of ranks alone, not on which of them share a host.
std::shared_ptr<comm::SharedMemory> Synchroniser::share_gradients() {
    if (!settings_.run.shared_memory || settings_.run.deterministic) return nullptr;
    auto memory = comm::SharedMemory::make(world_, stream_ ? 0 : model_.gradients().size());
    if (memory) model_.place_gradients(std::make_shared<SharedGradients>(memory));
    return memory;
}

void Synchroniser::choose_path() {
    const auto shared = share_gradients();
    comm::ChosenSum chosen = comm::choose_sum(world_, model_.gradients(), stream_,
                                              {settings_.run.nccl, settings_.run.nccl_start_seconds, shared});
    const auto& paths = chosen.plan.paths;
    mixed_ = chosen.plan.has_devices() && std::ranges::count(paths, comm::Path::host) > 0;
    const double mib = settings_.run.bucket_mib;
    comm::BucketProposal lengths;
    if (mib > 0) lengths.bucket_bytes = static_cast<std::size_t>(mib * (1 << 20));
    reducer_ = std::make_unique<comm::BucketReducer>(
        world_, std::move(chosen.sum),
        comm::plan_buckets(boundaries(model_), model_.gradients().size(), lengths.bucket_bytes,
                           lengths.first_bytes),
        settings_.run.overlap);
    late_ = chosen.plan.mpi_ranks.empty();  // all by NCCL
    tunes_ = mib == 0;
    norms_.go_with(reducer_.get());
}

OptimiserState Synchroniser::state() {
    OptimiserState state;
    for (const auto& [name, storage] : state_)
        state.emplace_back(name, std::span(storage->data(), model_.parameters().size()));
    return state;
}

void Synchroniser::compute(const nn::Batch& batch, const nn::LossSettings& loss, double slowdown) {
    ++queued_;
    Step& step = last();
    step.times = {};
    clips_ = batch.clips();
    step.clock.begin();
    model_.queue_step(batch, loss, [&](nn::GradientRange range) {
        if (reducer_) reducer_->ready({range.begin, range.end});
    });
    step.clock.end();
    step.norm_wait = norms_.waited_seconds();
    slow_down(step, slowdown);
}

// A rank that is slowed on purpose takes that much longer; a device must be waited for to know how much.
void Synchroniser::slow_down(Step& step, double slowdown) {
    if (slowdown <= 1) return;
    model_.backend().synchronise();
    sleep_seconds((step.clock.seconds() - step.norm_wait) * (slowdown - 1));
    step.clock.end();
}

void Synchroniser::reduce(Wishes wishes) {
    late_ ? queue_totals(wishes) : sum_totals(wishes);
    samples_since_merge_ += clips_;
}

void Synchroniser::queue_totals(Wishes wishes) {
    const std::array<double, 3> numbers = numbers_of(clips_, wishes);
    const std::span<double> sums = model_.backend().queue_sums(clips_ > 0, numbers);
    if (reducer_) reducer_->join(sums);
}

// The host waits for a few numbers here; a device still has most of backward to do then.
void Synchroniser::sum_totals(Wishes wishes) {
    const nn::LossSum mine = model_.loss();
    last().bad_row = mine.first_not_finite;
    const bool bad = mine.first_not_finite >= 0;
    std::vector<double> sums{bad ? 0 : mine.loss, mine.weight, static_cast<double>(mine.correct),
                             static_cast<double>(bad)};
    std::ranges::copy(numbers_of(clips_, wishes), std::back_inserter(sums));
    if (reducer_) {
        const comm::Work work = world_.sum(std::span(sums), "counts");
        reducer_->join();
        work.wait();
        last().times.exposed += work.waited_seconds();
    }
    last().totals = totals_of(sums);
}

// A device's steps are cut where buckets begin, so that each can go as soon as it is full.
void Synchroniser::record_steps() {
    nn::RecordOptions options;
    options.quantum = settings_.scheduler.quantum;
    if (reducer_)
        for (const comm::Range& bucket : reducer_->buckets()) options.cuts.push_back(bucket.begin);
    std::ranges::sort(options.cuts);
    model_.record_steps(options);
}

void Synchroniser::tune_buckets(double compute_seconds) {
    const auto lengths =
        tuner_.after_step(world_, *reducer_, model_.gradients().size_bytes(), compute_seconds);
    if (!lengths) return;
    reducer_->replan(comm::plan_buckets(boundaries(model_), model_.gradients().size(), lengths->bucket_bytes,
                                        lengths->first_bytes));
    record_steps();
    if (world_.rank() == 0)
        log::info("gradients go in {} buckets of about {} KiB (measured over the first {} steps)",
                  reducer_->buckets().size(), lengths->bucket_bytes >> 10, tuner_.steps());
}

void Synchroniser::update(std::int64_t step, float learning_rate) {
    const StepTotals& totals = last().totals;
    if (!late_ && totals.diverged) return;
    Stopwatch watch;
    nn::UpdateSettings update = settings_.optimizer.update;
    update.learning_rate = learning_rate;
    update.step = step + 1;
    update.weight = totals.weight;
    update.weight_is_queued = late_;
    update.clip_norm = settings_.optimizer.clip_norm;
    std::vector<std::span<float>> state;
    for (const auto& [name, values] : this->state()) state.push_back(values);
    model_.backend().update(update, ranges_, model_.parameters(), model_.gradients(), state);
    last().times.update = watch.seconds();
}

StepOutcome Synchroniser::settle() {
    Step& step = steps_[settled_++ % steps_.size()];
    StepOutcome outcome{step.totals, model_.backend().gradient_norm(), step.bad_row, step.times};
    if (late_) {
        const nn::Backend::Summed summed = model_.backend().summed();
        outcome.totals = totals_of(summed.sums);
        outcome.bad_row = summed.first_not_finite;
    }
    StepTimes& times = outcome.times;  // a device has come this far now
    times.exposed += step.norm_wait;
    times.compute = step.clock.seconds() - step.norm_wait;
    if (!reducer_) return outcome;
    times.exposed += reducer_->finish() + reducer_->values_seconds();
    times.busy = reducer_->busy_seconds();
    times.compute = std::max(0.0, times.compute - reducer_->values_seconds());
    if (tunes_) tune_buckets(times.compute);
    return outcome;
}

void Synchroniser::merge_buffers() {
    if (world_.size() == 1 || settings_.run.norm == Norm::sync || model_.buffers().empty()) return;
    double total = samples_since_merge_;
    world_.sum(std::span<double>(&total, 1), "samples of norms").wait();
    if (total == 0) return;
    const auto weight = static_cast<float>(samples_since_merge_ / total);
    nn::HostView buffers(model_.backend(), model_.buffers());
    for (float& value : buffers.values()) value *= weight;
    world_.sum(buffers.values(), "running statistics").wait();
    buffers.write_back();
    samples_since_merge_ = 0;
}

void Synchroniser::require_equal_parameters() {
    if (mixed_) return level_drift();
    const std::uint64_t hash = hash_values(nn::HostView(model_.backend(), model_.parameters()).values());
    std::vector<std::byte> bytes(sizeof hash);
    std::memcpy(bytes.data(), &hash, sizeof hash);
    comm::require_equal(world_, bytes, "parameters");
}

void Synchroniser::level_drift() {
    nn::HostView before(model_.backend(), model_.parameters());
    const std::vector<float> mine(before.values().begin(), before.values().end());
    broadcast_learned();
    nn::HostView after(model_.backend(), model_.parameters());
    std::array<double, 2> largest{};  // difference from rank 0, parameter
    for (std::size_t i = 0; i < mine.size(); ++i) {
        const double value = after.values()[i];
        largest[0] = std::max(largest[0], std::abs(mine[i] - value));
        largest[1] = std::max(largest[1], std::abs(value));
    }
    world_.maximum(std::span<double>(largest), "drift").wait();
    if (world_.rank() == 0)
        log::info(
            "parameters of GPU and CPU ranks had drifted apart by {:.2g} of the largest; rank 0's are "
            "everybody's now",
            largest[1] > 0 ? largest[0] / largest[1] : 0);
}

void Synchroniser::broadcast_state() {
    broadcast_learned();
    broadcast(model_.buffers(), "buffers");
}

void Synchroniser::broadcast_learned() {
    broadcast(model_.parameters(), "parameters");
    for (auto& [name, arena] : state()) broadcast(arena, "optimiser state");
}

void Synchroniser::broadcast(std::span<float> array, std::string_view what) {
    nn::HostView host(model_.backend(), array);
    world_.broadcast(std::as_writable_bytes(host.values()), 0, what).wait();
    host.write_back();
}

}  // namespace divs::train
