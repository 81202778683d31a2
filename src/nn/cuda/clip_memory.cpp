#include "clip_memory.hpp"

#include "frame_converter.hpp"

namespace divs::nn::cuda {

std::unique_ptr<ClipBlock> ClipPool::take(std::size_t bytes) {
    device_.activate();
    {
        std::lock_guard lock(mutex_);
        if (!free_.empty()) {
            std::unique_ptr<ClipBlock> block = std::move(free_.back());
            free_.pop_back();
            if (block->bytes >= bytes) {
                DIVS_CUDA_CALL(cudaStreamWaitEvent, stream_.get(), block->read.get(), 0);
                return block;
            }
        }
    }
    auto block = std::make_unique<ClipBlock>();
    block->device = allocate_device(device_, bytes, "clips that wait for their step");
    block->bytes = bytes;
    return block;
}

void ClipPool::give_back(std::unique_ptr<ClipBlock> block) noexcept {
    std::lock_guard lock(mutex_);
    free_.push_back(std::move(block));
}

DeviceClip::DeviceClip(std::shared_ptr<ClipPool> pool, std::size_t bytes)
    : pool_(std::move(pool)), block_(pool_->take(bytes)), bytes_(bytes) {}
DeviceClip::~DeviceClip() {
    pool_->give_back(std::move(block_));
}

std::span<std::uint8_t> DeviceClip::host(std::size_t offset, std::size_t bytes) {
    pool_->device().activate();
    if (!block_->pinned)
        block_->pinned = allocate_pinned(block_->bytes, "clips that wait for their step");
    else if (by_host_.empty())  // the clip before may still be on its way to the device
        DIVS_CUDA_CALL(cudaEventSynchronize, block_->written.get());
    if (!filled_) {
        if (!by_host_.empty() && by_host_.back().end == offset)
            by_host_.back().end += bytes;
        else
            by_host_.push_back({offset, offset + bytes});
    }
    return {static_cast<std::uint8_t*>(block_->pinned.get()) + offset, bytes};
}

void DeviceClip::filled() {
    pool_->device().activate();
    for (const Range& range : by_host_)
        DIVS_CUDA_CALL(cudaMemcpyAsync, device() + range.begin,
                       static_cast<const std::uint8_t*>(block_->pinned.get()) + range.begin,
                       range.end - range.begin, cudaMemcpyHostToDevice, pool_->stream());
    DIVS_CUDA_CALL(cudaEventRecord, block_->written.get(), pool_->stream());
    filled_ = true;
}

ClipMemory::ClipMemory(const Device& device)
    : pool_(std::make_shared<ClipPool>(device)), pictures_(make_pictures(pool_)) {}

std::unique_ptr<Pixels> ClipMemory::allocate(std::size_t bytes) {
    return std::make_unique<DeviceClip>(pool_, bytes);
}

std::vector<const std::uint8_t*> ClipMemory::acquire(std::span<Pixels* const> clips) {
    std::vector<const std::uint8_t*> addresses;
    for (Pixels* pixels : clips) {
        auto* clip = dynamic_cast<DeviceClip*>(pixels);
        if (!clip || !clip->belongs_to(*pool_)) return {};
        DIVS_CUDA_CALL(cudaStreamWaitEvent, pool_->device().stream(), clip->block().written.get(), 0);
        addresses.push_back(clip->device());
    }
    return addresses;
}

void ClipMemory::release(std::span<Pixels* const> clips) {
    for (Pixels* pixels : clips)
        DIVS_CUDA_CALL(cudaEventRecord, static_cast<DeviceClip*>(pixels)->block().read.get(),
                       pool_->device().stream());
}

}  // namespace divs::nn::cuda
