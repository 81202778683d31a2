#include "divs/io/bytes.hpp"

#include <bit>
#include <cstring>

#include "divs/core/error.hpp"

namespace divs::io {

void ByteWriter::number(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_.push_back(static_cast<std::byte>(value | 0x80));
    bytes_.push_back(static_cast<std::byte>(value));
}

void ByteWriter::fixed(std::uint64_t value) {
    for (int shift = 0; shift < 64; shift += 8) bytes_.push_back(static_cast<std::byte>(value >> shift));
}

void ByteWriter::real(double value) {
    fixed(std::bit_cast<std::uint64_t>(value));
}

void ByteWriter::text(std::string_view value) {
    raw(std::as_bytes(std::span(value.data(), value.size())));
}

void ByteWriter::raw(std::span<const std::byte> value) {
    number(value.size());
    bytes_.insert(bytes_.end(), value.begin(), value.end());
}

void ByteReader::fail(std::string_view why) const {
    throw_error<InputError>("{}: {} at byte {} of {}", what_, why, at_, bytes_.size());
}

std::uint64_t ByteReader::number() {
    std::uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
        if (left() == 0) fail("ends inside a number");
        const auto byte = std::to_integer<std::uint64_t>(bytes_[at_++]);
        if (shift == 63 && byte > 1) fail("number of more than 64 bits");
        value |= (byte & 0x7F) << shift;
        if (byte < 0x80) return value;
    }
}

std::uint64_t ByteReader::fixed() {
    if (left() < 8) fail("ends inside a number");
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 8)
        value |= std::to_integer<std::uint64_t>(bytes_[at_++]) << shift;
    return value;
}

double ByteReader::real() {
    return std::bit_cast<double>(fixed());
}

std::string ByteReader::text() {
    const auto value = raw();
    return {reinterpret_cast<const char*>(value.data()), value.size()};
}

std::span<const std::byte> ByteReader::raw() {
    const std::size_t size = count();
    at_ += size;
    return bytes_.subspan(at_ - size, size);
}

std::size_t ByteReader::count(std::size_t least) {
    const std::uint64_t value = number();
    if (value > left() / least) fail("count larger than what is left");
    return static_cast<std::size_t>(value);
}

void ByteReader::finish() const {
    if (left()) fail("more bytes than expected");
}

namespace {

// Multiplication by an odd number and a right xor-shift are bijections.
std::uint64_t mix(std::uint64_t state, std::uint64_t word) noexcept {
    state = (state ^ word) * 0xD6E8FEB86659FD93ULL;
    return state ^ (state >> 32);
}

}  // namespace

void Hash64::add(std::span<const std::byte> bytes) noexcept {
    for (; !bytes.empty() && length_ % 8 != 0; bytes = bytes.subspan(1), ++length_) {
        tail_ |= std::to_integer<std::uint64_t>(bytes[0]) << (8 * (length_ % 8));
        if (length_ % 8 == 7) {
            state_ = mix(state_, tail_);
            tail_ = 0;
        }
    }
    for (; bytes.size() >= 8; bytes = bytes.subspan(8), length_ += 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, bytes.data(), 8);
        if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap64(word);
        state_ = mix(state_, word);
    }
    for (; !bytes.empty(); bytes = bytes.subspan(1), ++length_)
        tail_ |= std::to_integer<std::uint64_t>(bytes[0]) << (8 * (length_ % 8));
}

void Hash64::add(std::uint64_t word) noexcept {
    std::byte bytes[8];
    for (int i = 0; i < 8; ++i) bytes[i] = static_cast<std::byte>(word >> (8 * i));
    add(std::span<const std::byte>(bytes));
}

void Hash64::add(std::string_view text) noexcept {
    add(std::uint64_t{text.size()});
    add(std::as_bytes(std::span(text.data(), text.size())));
}

std::uint64_t Hash64::value() const noexcept {
    return mix(mix(mix(state_, tail_), length_), 0x2545F4914F6CDD1DULL);
}

}  // namespace divs::io
