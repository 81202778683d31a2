// The GPU as communication sees it: a stream of its own beside the compute stream, and events between both.
#pragma once

#include <memory>

#include "device.hpp"
#include "divs/core/device_stream.hpp"

namespace divs::nn::cuda {

// `device` must outlive it.
std::shared_ptr<DeviceStream> make_communication_stream(const Device& device);

}  // namespace divs::nn::cuda
