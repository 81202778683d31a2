// A training step as a chain of stretches of device work. The first step of a plan runs as it is, so that all
// that is made on first use exists; the second is recorded stretch by stretch; from then on each stretch is
// queued as one piece. Between stretches the host does what cannot be recorded: it tells communication which
// gradients are final. A stretch is cut into more pieces where it needs other ranks in its middle: by the
// sums of norms.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "divs/nn/backend.hpp"

namespace divs::nn {

class StepChain {
  public:
    // What recorded work depends on beside its plan: another value, and it is recorded anew.
    struct Key {
        const void *tensors = nullptr, *workspace = nullptr;
        float smoothing = 0;
        std::size_t cuts = 0;  // version of where the chain is cut
        friend bool operator==(const Key&, const Key&) = default;
    };

    // Begins a step; without a recorder it runs as it is.
    void begin(Recorder* recorder, const Key& key);
    // The next stretch. In every step of one key the stretches are the same. Where one cannot be recorded,
    // this plan's steps run as they are from there on, and a warning says why.
    void run(const std::function<void()>& work);
    // Within work: `between` cannot be recorded. What was queued before it is one piece, what follows
    // another; it runs between them in this step and in those that follow, so what it refers to must stay.
    void cut(const std::function<void()>& between);
    void finish();  // the step's last stretch has run

    bool queued_as_recorded() const noexcept { return mode_ == Mode::replay; }

  private:
    enum class Mode { plain, record, replay };
    struct Piece {
        std::unique_ptr<Recorded> recorded;
        std::function<void()> after;  // empty behind the last of a stretch
    };
    using Stretch = std::vector<Piece>;
    void record(const std::function<void()>& work);
    static void run(const Stretch& stretch);

    Key key_;
    Recorder* recorder_ = nullptr;
    Mode mode_ = Mode::plain;
    int steps_ = 0;  // of this key, before this one
    bool complete_ = false, refused_ = false;
    bool recording_ = false;  // the last of the stretches
    std::vector<Stretch> stretches_;
    std::size_t next_ = 0;
};

}  // namespace divs::nn
