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
            stretches_.at(next_++)->run();
            break;
    }
}

void StepChain::record(const std::function<void()>& work) {
    std::unique_ptr<Recorded> stretch;
    try {
        recorder_->begin();
        work();
        stretch = recorder_->end();
    } catch (const Error& e) {
        recorder_->abandon();
        stretches_.clear();
        refused_ = true;
        mode_ = Mode::plain;
        log::warn("a step cannot be recorded and runs operation by operation: {}", e.what());
    }
    if (!stretch) return work();  // nothing of it has been done yet
    stretch->run();
    stretches_.push_back(std::move(stretch));
}

void StepChain::finish() {
    complete_ = complete_ || mode_ == Mode::record;
    if (recorder_) ++steps_;
}

}  // namespace divs::nn
