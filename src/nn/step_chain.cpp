#include "step_chain.hpp"

#include "divs/core/error.hpp"
#include "divs/core/log.hpp"

namespace divs::nn {

void StepChain::begin(Recorder* recorder, const Key& key) {
    if (!(key == key_)) {
        key_ = key;
        stretches_.clear();
        steps_ = 0;
        complete_ = false;
    }
    recorder_ = refused_ ? nullptr : recorder;
    next_ = 0;
    recording_ = false;
    mode_ = !recorder_ || steps_ == 0 ? Mode::plain : complete_ ? Mode::replay : Mode::record;
    if (mode_ == Mode::record) stretches_.clear();  // of a step that an exception ended
}

void StepChain::run(const std::function<void()>& work) {
    switch (mode_) {
        case Mode::plain:
            work();
            break;
        case Mode::record:
            record(work);
            break;
        case Mode::replay:
            run(stretches_.at(next_++));
            break;
    }
}

// Nothing is done before all of the stretch is recorded.
void StepChain::record(const std::function<void()>& work) {
    stretches_.emplace_back();
    recording_ = true;
    try {
        recorder_->begin();
        work();
        stretches_.back().push_back({recorder_->end(), {}});
    } catch (const Error& e) {
        recorder_->abandon();
        stretches_.clear();
        refused_ = true;
        mode_ = Mode::plain;
        log::warn("a step cannot be recorded and runs operation by operation: {}", e.what());
    }
    recording_ = false;
    refused_ ? work() : run(stretches_.back());
}

void StepChain::cut(const std::function<void()>& between) {
    if (!recording_) return between();
    stretches_.back().push_back({recorder_->end(), between});
    recorder_->begin();
}

void StepChain::run(const Stretch& stretch) {
    for (const Piece& piece : stretch) {
        piece.recorded->run();
        if (piece.after) piece.after();
    }
}

void StepChain::finish() {
    complete_ = complete_ || mode_ == Mode::record;
    if (recorder_) ++steps_;
}

}  // namespace divs::nn
