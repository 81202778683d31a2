// Frames that libavcodec decoded on the device, converted there to the pixels of clips.
#pragma once

#include "clip_memory.hpp"

namespace divs::nn::cuda {

std::unique_ptr<DevicePictures> make_pictures(std::shared_ptr<ClipPool> pool);

}  // namespace divs::nn::cuda
