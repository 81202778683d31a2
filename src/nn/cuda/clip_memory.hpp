// Memory for clips that wait for their step. Each has its place on the device, and gets there ahead of the
// step: from pinned memory as soon as it is whole, or written there by the conversion of decoded frames. All
// of that is queued on one stream beside the one that computes.
#pragma once

#include <deque>
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
    std::unique_ptr<ClipBlock> take_free();

    const Device& device_;
    StreamHandle stream_;
    std::mutex mutex_;
    std::deque<std::unique_ptr<ClipBlock>> free_;
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
    void will_write(std::size_t begin, std::size_t end);

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

    // The clips of a step on the device, once the compute stream has come to where it waits for them. Those
    // of other memory are brought there.
    class Batch {
      public:
        Batch(ClipMemory& memory, std::span<Pixels* const> clips);
        std::span<const std::uint8_t* const> addresses() const noexcept { return addresses_; }
        void read();  // what reads them is queued

      private:
        DeviceClip& bring(ClipMemory& memory, Pixels& pixels);

        cudaStream_t stream_;
        std::vector<DeviceClip*> clips_;
        std::vector<const std::uint8_t*> addresses_;
        std::vector<std::unique_ptr<DeviceClip>> brought_;
    };

  private:
    std::shared_ptr<ClipPool> pool_;
    std::unique_ptr<DevicePictures> pictures_;
};

}  // namespace divs::nn::cuda
