// Memory for clips that wait for their step. Each has its place on the device, and gets there ahead of the
// step: from pinned memory as soon as it is whole, or written there by the conversion of decoded frames. All of
// that is queued on one stream beside the one that computes.
#pragma once

#include <mutex>
#include <vector>

#include "divs/core/device_pictures.hpp"
#include "memory.hpp"

namespace divs::nn::cuda {

// The memory of one clip. Whoever writes to it on the device waits for who read it last.
struct ClipBlock {
    DeviceBytes device;
    PinnedBytes pinned;  // once the host has written
    std::size_t bytes = 0;
    EventHandle written = make_event(), read = make_event();
};

// Blocks go round: to allocate pinned memory takes as long as to decode a clip.
class ClipPool {
  public:
    explicit ClipPool(const Device& device) : device_(device), stream_(make_stream()) {}

    std::unique_ptr<ClipBlock> take(std::size_t bytes);
    void give_back(std::unique_ptr<ClipBlock> block) noexcept;

    const Device& device() const noexcept { return device_; }
    cudaStream_t stream() const noexcept { return stream_.get(); }

  private:
    const Device& device_;
    StreamHandle stream_;
    std::mutex mutex_;
    std::vector<std::unique_ptr<ClipBlock>> free_;
};

class DeviceClip final : public Pixels {
  public:
    DeviceClip(std::shared_ptr<ClipPool> pool, std::size_t bytes);
    ~DeviceClip() override;

    std::size_t size() const noexcept override { return bytes_; }
    std::span<std::uint8_t> host(std::size_t offset, std::size_t bytes) override;
    void filled() override;

    std::uint8_t* device() noexcept { return static_cast<std::uint8_t*>(block_->device.get()); }
    ClipBlock& block() noexcept { return *block_; }
    bool belongs_to(const ClipPool& pool) const noexcept { return pool_.get() == &pool; }

  private:
    struct Range {
        std::size_t begin = 0, end = 0;
    };
    std::shared_ptr<ClipPool> pool_;
    std::unique_ptr<ClipBlock> block_;
    std::size_t bytes_;
    std::vector<Range> by_host_;  // what the host was given to write
    bool filled_ = false;
};

class ClipMemory final : public PixelMemory {
  public:
    explicit ClipMemory(const Device& device);

    std::unique_ptr<Pixels> allocate(std::size_t bytes) override;
    DevicePictures* pictures() noexcept override { return pictures_.get(); }

    // The clips' bytes on the device, once the compute stream has come to where it waits for them; empty where
    // one is not of this memory. release() says that what reads them is queued.
    std::vector<const std::uint8_t*> acquire(std::span<Pixels* const> clips);
    void release(std::span<Pixels* const> clips);

  private:
    std::shared_ptr<ClipPool> pool_;
    std::unique_ptr<DevicePictures> pictures_;
};

}  // namespace divs::nn::cuda
