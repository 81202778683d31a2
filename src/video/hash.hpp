// A 64-bit hash for noticing change; not for adversaries.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>

namespace divs::video {

// FNV-1a's scheme on eight bytes at a time, with a final mix.
class Hash64 {
  public:
    Hash64& add(std::span<const std::uint8_t> bytes) noexcept {
        std::size_t i = 0;
        for (; i + 8 <= bytes.size(); i += 8) {
            std::uint64_t word;
            std::memcpy(&word, bytes.data() + i, 8);
            step(word);
        }
        std::uint64_t tail = 0;
        if (i < bytes.size()) std::memcpy(&tail, bytes.data() + i, bytes.size() - i);
        step(tail ^ (std::uint64_t{bytes.size()} << 56));
        return *this;
    }
    Hash64& add(std::uint64_t word) noexcept {
        step(word);
        return *this;
    }
    std::uint64_t value() const noexcept {
        std::uint64_t x = state_;
        x = (x ^ (x >> 33)) * 0xFF51AFD7ED558CCDULL;
        return x ^ (x >> 33);
    }

  private:
    void step(std::uint64_t word) noexcept {
        state_ = (state_ ^ word) * 0x9E3779B97F4A7C15ULL;
        state_ ^= state_ >> 29;
    }
    std::uint64_t state_ = 0xCBF29CE484222325ULL;
};

}  // namespace divs::video
