// Checkpoints of a run.
#include <cmath>
#include <nlohmann/json.hpp>

#include "divs/core/log.hpp"
#include "run.hpp"

namespace divs::train {

void Run::gather_ledger() {
    const auto marks = world_.gather(ledger_->drain(), 0, "ledger");
    if (!is_root()) return;
    for (std::size_t rank = 1; rank < marks.size(); ++rank) ledger_->absorb(marks[rank]);
}

bool Run::save_is_due() const {
    const RunSettings& run = settings_.run;
    return is_root() && run.checkpoint_seconds > 0 && since_save_.seconds() >= run.checkpoint_seconds;
}

void Run::save(CheckpointStore::Busy busy) {
    settle();
    save_ = false;
    gather_ledger();
    synchroniser_->merge_buffers();
    since_save_.lap();
    if (!store_) return;
    Stopwatch watch;
    CheckpointInfo info;
    info.model_json = nn::to_json(model_->spec());
    info.classes = data_.catalogue.dataset.classes;
    info.clip_stride = data_.catalogue.clip.stride;
    info.step = step_;
    info.epoch = ledger_->epoch();
    info.batch = batch_;
    info.ledger = ledger_->pack();
    info.config = settings_.effective;
    info.data_fingerprint = data_.catalogue.fingerprint;
    if (measured_ && batch_ == 0) info.metric = *measured_;
    info.metric_name = "val accuracy";
    if (store_->save(std::move(info), checkpoint_arrays(*model_, synchroniser_->state()).arrays, busy) ==
        CheckpointStore::Saved::skipped)
        log::debug("step {}: no checkpoint, the one before is still being written", step_);
    times_.add(Stage::checkpoint, watch.seconds());
}

}  // namespace divs::train
