// How a run starts: data, model, and the checkpoint to go on from.
#include <cstring>

#include "divs/comm/program.hpp"
#include "divs/core/error.hpp"
#include "divs/core/log.hpp"
#include "divs/core/process.hpp"
#include "divs/train/reader.hpp"
#include "divs/train/versions.hpp"
#include "divs/train/weights.hpp"
#include "run.hpp"

namespace divs::train {
namespace {

std::vector<float> inverse_frequency(const video::Catalogue& catalogue,
                                     const std::vector<std::uint64_t>& samples) {
    std::vector<float> weights(catalogue.dataset.classes.size());
    for (const std::uint64_t sample : samples)
        ++weights[static_cast<std::size_t>(catalogue.samples[sample].label)];
    const auto classes = static_cast<float>(weights.size());
    for (float& weight : weights)
        weight = weight > 0 ? static_cast<float>(samples.size()) / (classes * weight) : 0;
    return weights;
}

std::span<const std::byte> bytes_of(const std::string& text) {
    return std::as_bytes(std::span(text));
}

}  // namespace

Run::Run(comm::World& world, const Settings& settings) : world_(world), settings_(settings), norms_(world) {
    Stopwatch watch;
    start_.launch = process_seconds();
    check_agreement();
    // First of all: a folder that cannot be written, or that another job works in, ends the run before it costs time.
    if (is_root())
        store_ = std::make_unique<CheckpointStore>(settings_.run.folder, settings_.run.keep_last, true);
    settings_.model.threads = compute_threads(world, settings_.model);
    start_.launch += watch.lap();
    data_ = open_data(world, settings_.data, settings_.scheduler.storage);
    samples_ = data_.catalogue.samples_of(video::Split::train);
    if (samples_.empty())
        throw_error<InputError>("{}: no sample in the split \"train\"", settings_.data.dataset.string());
    loss_.smoothing = static_cast<float>(settings_.optimizer.label_smoothing);
    if (settings_.optimizer.class_weights) loss_.class_weights = inverse_frequency(data_.catalogue, samples_);

    const auto batch = static_cast<std::size_t>(settings_.run.batch);
    steps_per_epoch_ = static_cast<std::int64_t>((samples_.size() + batch - 1) / batch);
    nn::Schedule& schedule = settings_.optimizer.schedule;
    schedule.total_steps = steps_per_epoch_ * settings_.run.epochs;
    schedule.warmup_steps =
        static_cast<std::int64_t>(settings_.optimizer.warmup_epochs * static_cast<double>(steps_per_epoch_));

    start_.data = watch.lap();
    build_model();
    ledger_ = std::make_unique<SampleLedger>(samples_);
    if (store_) store_->reserve(checkpoint_arrays(*model_, synchroniser_->state()).arrays);
    start_.model = watch.lap();
    reader_ = reader_options(world, model_->backend(), {picture_size(model_->spec())}, data_.catalogue,
                             data_.holders,
                             {settings_.data.decode_on, settings_.data.decode_threads,
                              settings_.data.catalogue.limits, settings_.run.order == Order::global});
    start_.decoder = watch.lap();
    resume();
    start_.checkpoint = watch.lap();
    balancer_ = std::make_unique<Balancer>(world, settings_, data_.catalogue,
                                           shards_with(data_.catalogue, samples_), data_.holders);
    if (is_root()) monitor_ = std::make_unique<Monitor>(settings_.run.folder, step_ > 0);
    if (settings_.run.trace) {
        trace_ = std::make_unique<io::Trace>(world.rank());
        clocks_ = comm::clock_offsets(world);
        clocks_read_ = now_seconds();
    }
    start_.schedule = watch.lap();
}

namespace {

void require_same_model(const Checkpoint& checkpoint, const nn::ModelSpec& now) {
    const nn::ModelSpec then = nn::from_json(checkpoint.info.model_json);
    if (then == now) return;
    const auto words = [](const nn::ModelSpec& spec) {
        return fmt::format("{} of {} classes, {} frames of {}x{}", spec.architecture, spec.classes,
                           spec.frames, spec.width, spec.height);
    };
    throw_error<InputError>("{}: was made by another model ({}; now {}); use another train.folder",
                            checkpoint.file.string(), words(then), words(now));
}

}  // namespace

void Run::check_agreement() {
    comm::require_same_program(world_, library_versions());
    comm::require_equal(world_, bytes_of(settings_.effective), "the configuration");
}

void Run::build_model() {
    const auto classes = static_cast<int>(data_.catalogue.dataset.classes.size());
    model_ = std::make_unique<nn::Model>(
        describe_model(settings_.model, settings_.data.catalogue.clip, classes),
        nn::make_backend(settings_.model.backend,
                         backend_options(world_, settings_.model, settings_.run.deterministic)),
        settings_.run.norm == Norm::sync && world_.size() > 1 ? &norms_ : nullptr);
    model_->initialise(settings_.run.seed);
    if (!settings_.model.init.empty()) {
        const InitReport report =
            init_from(*model_, read_any_weights(settings_.model.init), {true, settings_.model.freeze});
        if (is_root())
            log::info("{} arrays from {}; {} start afresh", report.loaded, settings_.model.init.string(),
                      report.fresh.size());
    } else if (!settings_.model.freeze.empty()) {
        model_->freeze(settings_.model.freeze);
    }
    synchroniser_ = std::make_unique<Synchroniser>(*model_, world_, norms_, settings_);
}

void Run::resume() {
    // Rank 0 alone reads; a failure there must reach the others as well.
    std::optional<Checkpoint> checkpoint;
    if (is_root()) checkpoint = load_newest(settings_.run.folder);
    std::array<std::int64_t, 3> position{checkpoint.has_value(), 0, 0};
    if (checkpoint) {
        const CheckpointInfo& info = checkpoint->info;
        if (!info.ledger.empty() && info.data_fingerprint != data_.catalogue.fingerprint)
            throw_error<InputError>("{}: was made on other data than {} now holds; use another train.folder",
                                    checkpoint->file.string(), settings_.data.dataset.string());
        if (!info.ledger.empty()) require_same_model(*checkpoint, model_->spec());
        restore(*checkpoint, *model_, synchroniser_->state());
        if (!info.ledger.empty()) *ledger_ = SampleLedger::unpack(info.ledger, samples_);
        position = {1, info.step, static_cast<std::int64_t>(info.batch)};
        log::info("resuming from {}: step {}, epoch {}, {} samples of it left", checkpoint->file.string(),
                  info.step, ledger_->epoch() + 1, ledger_->left());
    }
    world_.broadcast(std::as_writable_bytes(std::span(position)), 0, "position").wait();
    if (!position[0]) return;
    step_ = resumed_at_ = position[1];
    batch_ = static_cast<std::uint64_t>(position[2]);
    *ledger_ = SampleLedger::unpack(world_.broadcast(ledger_->pack(), 0, "ledger"), samples_);
    synchroniser_->broadcast_state();
}

void Run::say_hello() const {
    if (!monitor_) return;
    const video::Catalogue& catalogue = data_.catalogue;
    monitor_->say(fmt::format("{}: {} files, {} shards, {} training samples, {} classes",
                              catalogue.dataset.name, catalogue.files.size(), catalogue.shards.size(),
                              samples_.size(), catalogue.dataset.classes.size()));
    monitor_->say(
        fmt::format("{} ({} parameters, {:.3g} GFLOP forward a clip) on {}, {} ranks of {} threads, batch {}",
                    model_->spec().architecture, model_->parameters().size(), 2e-9 * model_->multiply_adds(1),
                    model_->backend().name(), world_.size(), settings_.model.threads, settings_.run.batch));
}

}  // namespace divs::train
