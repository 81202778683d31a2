#include "run.hpp"

#include <cmath>
#include <exception>
#include <nlohmann/json.hpp>

#include "divs/core/error.hpp"
#include "divs/core/log.hpp"
#include "divs/train/stop_signal.hpp"

namespace divs::train {
namespace {

// On the way out of a failure communication ends before anything that it works on goes.
class LeavingOnFailure {
  public:
    explicit LeavingOnFailure(comm::World& world) : world_(world), exceptions_(std::uncaught_exceptions()) {}
    LeavingOnFailure(const LeavingOnFailure&) = delete;
    ~LeavingOnFailure() {
        if (std::uncaught_exceptions() > exceptions_) world_.leave();
    }

  private:
    comm::World& world_;
    int exceptions_;
};

}  // namespace

FeedOptions Run::feed_options(bool augment) const {
    FeedOptions feed;
    feed.threads = settings_.data.decode_threads;
    feed.queue_bytes = settings_.data.queue_bytes;
    feed.reader = reader_;
    feed.reader.times = const_cast<TimeLedger*>(&times_);
    feed.activity = [this](const std::string& what) { world_.describe_activity(what); };
    if (augment)
        feed.view = [this, epoch = ledger_->epoch()](std::uint64_t sample) {
            return video::augmented_view(settings_.data.augment, settings_.run.seed, epoch, sample);
        };
    return feed;
}

double Run::slowdown() const {
    double factor = 1;
    for (const Throttle& throttle : settings_.throttles)
        if (throttle.rank == world_.rank() && step_ >= throttle.step) factor = throttle.factor;
    return factor;
}

TrainResult Run::execute() {
    say_hello();
    bool finished = true;
    // What a run that was stopped reported is not true any more once it goes on.
    std::error_code ignored;
    if (is_root() && ledger_->epoch() < static_cast<std::uint64_t>(settings_.run.epochs))
        std::filesystem::remove(report_file(), ignored);
    while (ledger_->epoch() < static_cast<std::uint64_t>(settings_.run.epochs) &&
           (finished = train_epoch())) {
    }
    if (is_root()) {
        store_->finish();
        monitor_->say(fmt::format("last checkpoint: {}", store_->last_file().string()));
    }
    summarise(finished);
    return {finished, last_metrics_};
}

std::vector<std::uint64_t> Run::remaining_samples() const {
    if (settings_.run.order == Order::local) return ledger_->remaining();
    auto order =
        global_order(data_.catalogue, samples_, settings_.data.mix, settings_.run.seed, ledger_->epoch());
    std::erase_if(order, [&](std::uint64_t sample) { return ledger_->is_done(sample); });
    return order;
}

bool Run::train_epoch() {
    const auto remaining = remaining_samples();
    {
        Epoch epoch({settings_, data_.catalogue, world_, feed_options(true)}, balancer_->agent(),
                    ledger_->epoch(), remaining, balancer_->assign(remaining, ledger_->epoch()));
        const LeavingOnFailure leaving(world_);
        while (!epoch.finished() && !stop_) {
            train_step(epoch);
            if (!epoch.finished() && (stop_ || save_))
                save(stop_ ? CheckpointStore::Busy::wait : CheckpointStore::Busy::skip);
        }
        settle();
        balancer_->end_epoch();
        const FeedCounts counts = epoch.counts();
        feed_total_.clips += counts.clips;
        feed_total_.seconds += counts.seconds;
        feed_total_.decode += counts.decode;
        feed_peak_ = std::max(feed_peak_, epoch.peak_bytes());
        if (!epoch.finished()) return false;
    }
    gather_ledger();
    report_ranks();
    const std::uint64_t done = ledger_->epoch();
    if (is_root())
        require_used(ledger_->finish_epoch());
    else
        ledger_->begin_epoch(done + 1);
    batch_ = 0;
    synchroniser_->merge_buffers();
    const bool last = done + 1 == static_cast<std::uint64_t>(settings_.run.epochs);
    const auto due = [&](int every) {
        return last || (every > 0 && (done + 1) % static_cast<std::uint64_t>(every) == 0);
    };
    const bool evaluate = due(settings_.run.evaluate_epochs);
    measured_ = std::nullopt;
    if (evaluate) evaluate_split(video::Split::val);
    if (evaluate || stop_ || due(settings_.run.checkpoint_epochs))
        save(CheckpointStore::Busy::wait);  // not one is left out: it may be the best
    return !stop_;
}

// An epoch without a single sample is no training: the videos are gone, or all are unreadable.
void Run::require_used(const EpochRecord& epoch) {
    if (epoch.used > 0) return;
    store_->finish();
    throw_error<InputError>(
        "epoch {}: none of its {} samples could be read. The last checkpoint stays; start the training again "
        "once the videos can be read",
        epoch.epoch + 1, epoch.samples);
}

void Run::train_step(Epoch& epoch) {
    Stopwatch whole, watch;
    const double factor = slowdown();
    epoch.slow_down(factor);
    const std::vector<int> shares = epoch.shares();
    StepClips clips = epoch.take(shares);
    const double wait_data = watch.lap();
    times_.add(Stage::wait_data, wait_data);
    if (trace_) trace_->record("wait for clips", "data", "main", now_seconds() - wait_data, now_seconds());

    BatchLists lists;
    const nn::Batch batch = batch_of(clips, lists);
    const auto rate = static_cast<float>(nn::learning_rate(settings_.optimizer.schedule, step_));
    {
        const io::TraceSpan span(trace_.get(), "forward, backward, reduce", "compute", "main");
        synchroniser_->compute(batch, loss_, factor);
        settle();
        synchroniser_->reduce({stop_asked(), save_is_due()});
    }
    synchroniser_->update(step_, rate);
    account(clips);
    epoch.done(shares);

    const FeedCounts feed = epoch.counts();
    const auto mine = static_cast<double>(lists.samples.size());
    under_way_ = {
        whole,
        std::move(clips),
        report_of(wait_data, rate),
        {mine,
         feed.clips ? mine * feed.seconds / static_cast<double>(feed.clips) / settings_.data.decode_threads
                    : 0,
         0, wait_data}};
    if (!synchroniser_->settles_late() || balancer_->uses_times(step_)) settle();
    if (under_way_) under_way_->report.seconds = whole.seconds();
    if (const auto decision = balancer_->after_step(step_, epoch)) after_decision(*decision);
    ++step_;
    ++batch_;
    save_ = save_ || (settings_.run.checkpoint_steps > 0 && step_ % settings_.run.checkpoint_steps == 0);
    if (settings_.run.hash_steps > 0 && step_ % settings_.run.hash_steps == 0) {
        settle();
        synchroniser_->require_equal_parameters();
    }
}

void Run::settle() {
    if (!under_way_) return;
    StepUnderWay step = *std::exchange(under_way_, std::nullopt);
    const auto [totals, norm, bad_row, times] = synchroniser_->settle();
    if (totals.diverged) diverge(step.report.step, "the loss", bad_samples(step.clips, bad_row));
    if (!std::isfinite(norm)) diverge(step.report.step, "the gradient's norm", "");
    stop_ = stop_ || totals.stop;
    save_ = save_ || totals.save;
    times_.add(Stage::forward, times.compute);
    times_.add(Stage::optimise, times.update);
    times_.add(Stage::exposed_comm, times.exposed);
    busy_seconds_ += times.busy;
    step.round.compute_seconds = times.compute + times.update;
    step.round.waited_seconds += times.exposed;
    balancer_->measured(step.round);
    StepReport& report = step.report;
    if (report.seconds == 0) report.seconds = step.clock.seconds();  // it is still the step under way
    step_seconds_ += report.seconds;
    if (report.step == resumed_at_) report_start(report.wait_data, report.seconds);
    if (!monitor_) return;
    report.loss = totals.weight > 0 ? totals.loss / totals.weight : 0;
    report.accuracy = totals.samples > 0 ? totals.correct / totals.samples : 0;
    report.samples = totals.samples;
    report.gradient_norm = norm;
    report.compute = times.compute;
    report.exposed = times.exposed;
    report.communication = times.busy;
    monitor_->step(report);
}

nn::Batch Run::batch_of(const StepClips& clips, BatchLists& lists) const {
    for (const video::Clip& clip : clips.clips) {
        lists.pixels.push_back(clip.pixels.front().get());
        lists.labels.push_back(clip.label);
        lists.samples.push_back(clip.sample);
    }
    return {.labels = lists.labels,
            .samples = lists.samples,
            .seed = settings_.run.seed,
            .epoch = ledger_->epoch(),
            .clip_pixels = lists.pixels};
}

void Run::account(const StepClips& clips) {
    std::vector<std::uint64_t> used;
    for (const video::Clip& clip : clips.clips) used.push_back(clip.sample);
    ledger_->mark_used(used);
    rank_trained_ += used.size();
    for (const video::Clip& clip : clips.skipped) {
        ledger_->mark_skipped(clip.sample, clip.skipped);
        ++rank_skipped_;
        log::warn("{}: sample {} skipped: {}", data_.catalogue.file_of(clip.sample), clip.sample,
                  clip.skipped);
    }
}

std::string Run::bad_samples(const StepClips& clips, int bad_row) {
    BatchLists lists;
    model_->look_again(batch_of(clips, lists));
    // Who saw it says where; all ranks then stop with the same words.
    std::string mine;
    if (bad_row >= 0) {
        const std::uint64_t sample = lists.samples[static_cast<std::size_t>(bad_row)];
        mine = fmt::format("sample {} ({}) on rank {}, first in layer \"{}\"", sample,
                           data_.catalogue.file_of(sample), world_.rank(), model_->first_not_finite());
    }
    std::string all;
    for (const auto& words : world_.all_gather(std::as_bytes(std::span(mine)), "what diverged"))
        if (!words.empty())
            all += fmt::format("{}{}", all.empty() ? "" : "; ",
                               std::string_view(reinterpret_cast<const char*>(words.data()), words.size()));
    return all;
}

void Run::diverge(std::int64_t step, std::string_view what, const std::string& where) {
    if (store_) store_->finish();
    throw_error<DivergedError>(
        "step {}: {} is not finite: {}. The last good checkpoint stays; try a lower "
        "optimizer.learning_rate or set optimizer.clip_norm",
        step, what, where.empty() ? "no layer's output shows it" : where);
}

void Run::report_start(double wait_data, double seconds) {
    start_.clips = wait_data;
    start_.step = seconds - wait_data;
    if (!monitor_) return;
    monitor_->line({{"kind", "start"},
                    {"step", step_},
                    {"seconds", start_.total()},
                    {"loading", start_.loading()},
                    {"launch", start_.launch},
                    {"data", start_.data},
                    {"model", start_.model},
                    {"checkpoint", start_.checkpoint},
                    {"decoder", start_.decoder},
                    {"schedule", start_.schedule},
                    {"clips", start_.clips},
                    {"first_step", start_.step}});
}

StepReport Run::report_of(double wait_data, float rate) const {
    StepReport report;
    report.step = step_;
    report.total_steps = steps_per_epoch_ * settings_.run.epochs;
    report.epoch = ledger_->epoch();
    report.epochs = settings_.run.epochs;
    report.learning_rate = static_cast<double>(rate);
    report.wait_data = wait_data;
    report.imbalance = balancer_->imbalance();
    return report;
}

void Run::after_decision(const sched::Decision& decision) {
    if (!monitor_) return;
    nlohmann::json line = nlohmann::json::parse(decision.json_line());
    line["kind"] = "decision";
    monitor_->line(line);
    if (!decision.moves.empty())
        monitor_->say(fmt::format("scheduler: {} shards move before step {}: {}", decision.moves.size(),
                                  decision.effective_step, decision.reason));
}

void Run::evaluate_split(video::Split split) {
    const auto samples = data_.catalogue.samples_of(split);
    if (samples.empty()) return;
    Stopwatch watch;
    Classifier classifier(*model_);
    const Evaluation evaluation =
        evaluate(classifier, world_, data_.catalogue, samples, {32, feed_options(false), data_.holders});
    times_.add(Stage::evaluate, watch.seconds());
    if (!is_root()) return;
    if (evaluation.predictions.empty()) {
        log::warn("epoch {}: no sample of {} could be read to evaluate", ledger_->epoch(),
                  video::split_name(split));
        return;
    }
    const Metrics metrics = measure(evaluation.predictions, data_.catalogue.dataset.classes);
    monitor_->evaluated(ledger_->epoch() - 1, video::split_name(split), metrics, evaluation.seconds);
    last_metrics_ = metrics;
    measured_ = metrics.accuracy;
}

TrainResult train(comm::World& world, const Settings& settings) {
    return Run(world, settings).execute();
}

}  // namespace divs::train
