// A queue of a device as other doubles find it behind a stream's handle.
#pragma once

#include <functional>

namespace divs::kernels::host {

struct QueueDouble {
    virtual ~QueueDouble() = default;
    // Behind all that is queued. Work that returns false is tried again later; what is behind it waits.
    virtual void enqueue(std::function<bool()> work) = 0;
};

}  // namespace divs::kernels::host
