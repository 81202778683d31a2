// How long a stretch of compute takes, where it is computed: between two marks that a device comes past, or
// by the host's clock.
#pragma once

#include <algorithm>
#include <memory>
#include <utility>

#include "divs/core/clock.hpp"
#include "divs/core/device_stream.hpp"

namespace divs::train {

class ComputeClock {
  public:
    // `stream`: of the device; null where the host computes.
    explicit ComputeClock(std::shared_ptr<DeviceStream> stream) : stream_(std::move(stream)) {
        if (stream_)
            for (auto* mark : {&begin_, &end_}) *mark = stream_->make_mark();
    }
    void begin() {
        watch_.lap();
        if (stream_) stream_->mark_compute(*begin_);
    }
    void end() {  // again, where it ended later
        seconds_ = watch_.seconds();
        if (stream_) stream_->mark_compute(*end_);
    }
    // A device must have come past the end.
    double seconds() const {
        return stream_ ? std::max(0.0, stream_->seconds_between(*begin_, *end_)) : seconds_;
    }

  private:
    std::shared_ptr<DeviceStream> stream_;
    std::unique_ptr<DeviceMark> begin_, end_;
    Stopwatch watch_;
    double seconds_ = 0;
};

}  // namespace divs::train
