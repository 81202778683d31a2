#include "host_storage.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

namespace divs::nn {
namespace {

constexpr std::size_t line = 64, huge_page = std::size_t{2} << 20;

class HostStorage final : public Storage {
  public:
    explicit HostStorage(std::size_t bytes) : bytes_(bytes) {
        const std::size_t alignment = bytes >= 2 * huge_page ? huge_page : line;
        const std::size_t rounded = (std::max(bytes, line) + alignment - 1) / alignment * alignment;
        memory_.reset(static_cast<float*>(std::aligned_alloc(alignment, rounded)));
        if (!memory_) throw std::bad_alloc();
        // Fewer misses of the address cache in tensors of many megabytes; only advice, so its result does not
        // matter.
        if (alignment == huge_page) madvise(memory_.get(), rounded, MADV_HUGEPAGE);
        std::memset(memory_.get(), 0, rounded);
    }

    float* data() noexcept override { return memory_.get(); }
    std::size_t bytes() const noexcept override { return bytes_; }

  private:
    struct Free {
        void operator()(float* p) const noexcept { std::free(p); }
    };
    std::unique_ptr<float, Free> memory_;
    std::size_t bytes_;
};

}  // namespace

std::shared_ptr<Storage> allocate_host(std::size_t bytes) {
    return std::make_shared<HostStorage>(bytes);
}

}  // namespace divs::nn
