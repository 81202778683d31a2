// Byte strings for messages and checkpoints: little endian, small numbers small.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace divs::io {

class ByteWriter {
  public:
    void number(std::uint64_t value);  // 7 bits a byte, so that small numbers take one
    void fixed(std::uint64_t value);   // 8 bytes
    void real(double value);           // 8 bytes
    void text(std::string_view value);
    void raw(std::span<const std::byte> value);  // its length, then itself
    std::vector<std::byte> take() { return std::move(bytes_); }
    std::size_t size() const noexcept { return bytes_.size(); }

  private:
    std::vector<std::byte> bytes_;
};

// Throws InputError naming `what` where the bytes end early or hold what cannot be.
class ByteReader {
  public:
    ByteReader(std::span<const std::byte> bytes, std::string what) : bytes_(bytes), what_(std::move(what)) {}
    std::uint64_t number();
    std::uint64_t fixed();
    double real();
    std::string text();
    std::span<const std::byte> raw();
    // A count of things that take at least `least` bytes each: never more than what is left can hold.
    std::size_t count(std::size_t least = 1);
    std::size_t left() const noexcept { return bytes_.size() - at_; }
    void finish() const;  // nothing may be left
    [[noreturn]] void fail(std::string_view why) const;

  private:
    std::span<const std::byte> bytes_;
    std::string what_;
    std::size_t at_ = 0;
};

// A 64-bit hash that can be fed in pieces. Each step is a bijection of the state, so a change within one
// aligned word of 8 bytes is always seen; any other with probability 1 - 2^-64. Not against people.
class Hash64 {
  public:
    void add(std::span<const std::byte> bytes) noexcept;
    void add(std::uint64_t word) noexcept;
    void add(std::string_view text) noexcept;
    std::uint64_t value() const noexcept;

  private:
    std::uint64_t state_ = 0x9E3779B97F4A7C15ULL, length_ = 0, tail_ = 0;
};

}  // namespace divs::io
