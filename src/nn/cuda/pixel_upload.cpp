#include "pixel_upload.hpp"

#include <cstring>

namespace divs::nn::cuda {

const std::uint8_t* PixelUpload::stage(const std::uint8_t* pixels, std::size_t bytes) {
    Slot& slot = slots_[next_];
    next_ = (next_ + 1) % slots_.size();
    if (slot.copied) DIVS_CUDA_CALL(cudaEventSynchronize, slot.copied.get());
    if (slot.bytes < bytes) {
        slot.memory.reset();
        slot.bytes = 0;
        slot.memory = allocate_pinned(bytes, "a batch of pixels");
        slot.bytes = bytes;
    }
    if (!slot.copied) slot.copied = make_event();
    std::memcpy(slot.memory.get(), pixels, bytes);
    void* target = bytes_.at_least(bytes);
    DIVS_CUDA_CALL(cudaMemcpyAsync, target, slot.memory.get(), bytes, cudaMemcpyHostToDevice,
                   device_.stream());
    DIVS_CUDA_CALL(cudaEventRecord, slot.copied.get(), device_.stream());
    return static_cast<const std::uint8_t*>(target);
}

}  // namespace divs::nn::cuda
