#include "clip_memory.hpp"

#include <algorithm>

#include "frame_converter.hpp"

namespace divs::nn::cuda {

std::unique_ptr<ClipBlock> ClipPool::take(std::size_t bytes) {
    device_.activate();
    std::unique_ptr<ClipBlock> block = take_free();
    if (block && block->bytes >= bytes) {
        DIVS_CUDA_CALL(cudaStreamWaitEvent, stream_.get(), block->read.get(), 0);
        return block;
    }
    block = std::make_unique<ClipBlock>();
    block->device = allocate_device(device_, bytes, "clips that wait for their step");
    block->bytes = bytes;
    return block;
}

// The one that has been free for longest: what read it is most likely over.
std::unique_ptr<ClipBlock> ClipPool::take_free() {
    std::lock_guard lock(mutex_);
    if (free_.empty()) return nullptr;
    std::unique_ptr<ClipBlock> block = std::move(free_.front());
    free_.pop_front();
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
    if (!filled_) will_write(offset, offset + bytes);
    return {static_cast<std::uint8_t*>(block_->pinned.get()) + offset, bytes};
}

// Ranges come in order, now and then one again.
void DeviceClip::will_write(std::size_t begin, std::size_t end) {
    for (const Range& range : by_host_)
        if (begin >= range.begin && end <= range.end) return;
    if (!by_host_.empty() && by_host_.back().end == begin)
        by_host_.back().end = end;
    else
        by_host_.push_back({begin, end});
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

ClipMemory::Batch::Batch(ClipMemory& memory, std::span<Pixels* const> clips)
    : stream_(memory.pool_->device().stream()) {
    for (Pixels* pixels : clips) {
        auto* clip = dynamic_cast<DeviceClip*>(pixels);
        if (!clip || !clip->belongs_to(*memory.pool_)) clip = &bring(memory, *pixels);
        DIVS_CUDA_CALL(cudaStreamWaitEvent, stream_, clip->block().written.get(), 0);
        clips_.push_back(clip);
        addresses_.push_back(clip->device());
    }
}

// A clip that waited in the host's memory.
DeviceClip& ClipMemory::Batch::bring(ClipMemory& memory, Pixels& pixels) {
    auto& clip = *brought_.emplace_back(std::make_unique<DeviceClip>(memory.pool_, pixels.size()));
    std::ranges::copy(pixels.host(), clip.host(0, pixels.size()).begin());
    clip.filled();
    return clip;
}

void ClipMemory::Batch::read() {
    for (DeviceClip* clip : clips_) DIVS_CUDA_CALL(cudaEventRecord, clip->block().read.get(), stream_);
}

}  // namespace divs::nn::cuda
