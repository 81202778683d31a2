// Streams and events with owners.
#pragma once

#include <memory>

#include "check.hpp"

namespace divs::nn::cuda {

struct DestroyStream {
    void operator()(cudaStream_t stream) const noexcept { cudaStreamDestroy(stream); }
};
struct DestroyEvent {
    void operator()(cudaEvent_t event) const noexcept { cudaEventDestroy(event); }
};
using StreamHandle = std::unique_ptr<CUstream_st, DestroyStream>;
using EventHandle = std::unique_ptr<CUevent_st, DestroyEvent>;

// A stream of its own, which waits for no other; `high` has it served before others.
StreamHandle make_stream(bool high = false);
// `timed` events can be asked for the time between them, which makes recording them dearer.
EventHandle make_event(bool timed = false);

}  // namespace divs::nn::cuda
