#include "divs/core/pixels.hpp"

#include "divs/core/aligned_buffer.hpp"

namespace divs {
namespace {

class HostPixels final : public Pixels {
  public:
    explicit HostPixels(std::size_t bytes) : bytes_(bytes) {}
    std::size_t size() const noexcept override { return bytes_.size(); }
    std::span<std::uint8_t> host(std::size_t offset, std::size_t bytes) override {
        return std::span(bytes_).subspan(offset, bytes);
    }

  private:
    AlignedBuffer<std::uint8_t> bytes_;
};

struct HostMemory final : PixelMemory {
    std::unique_ptr<Pixels> allocate(std::size_t bytes) override {
        return std::make_unique<HostPixels>(bytes);
    }
};

}  // namespace

std::shared_ptr<PixelMemory> host_pixels() {
    static const auto memory = std::make_shared<HostMemory>();
    return memory;
}

}  // namespace divs
