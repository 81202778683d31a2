// Reading and writing of the room's messages. All ranks of a job run the same program on machines of the same
// byte order (the trainer checks that at the start), so numbers travel as they lie in memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "divs/core/error.hpp"

namespace divs::sched {

template <class T>
concept Plain = std::is_trivially_copyable_v<T>;

class ByteWriter {
  public:
    explicit ByteWriter(std::uint32_t kind) { put(kind); }

    template <Plain T>
    void put(const T& value) {
        const auto* begin = reinterpret_cast<const std::byte*>(&value);
        bytes_.insert(bytes_.end(), begin, begin + sizeof(T));
    }
    template <Plain T>
    void put(const std::vector<T>& values) {
        put<std::uint64_t>(values.size());
        const auto* begin = reinterpret_cast<const std::byte*>(values.data());
        bytes_.insert(bytes_.end(), begin, begin + values.size() * sizeof(T));
    }
    void put(const std::string& text) { put(std::vector<char>(text.begin(), text.end())); }

    std::vector<std::byte> take() { return std::move(bytes_); }

  private:
    std::vector<std::byte> bytes_;
};

// `what` stands in messages: "report of rank 3".
class ByteReader {
  public:
    ByteReader(std::span<const std::byte> bytes, std::uint32_t kind, std::string_view what)
        : bytes_(bytes), what_(what) {
        if (get<std::uint32_t>() != kind) fail("is of another kind or version");
    }

    template <Plain T>
    T get() {
        if (bytes_.size() < sizeof(T)) fail("is too short");
        T value;
        std::memcpy(&value, bytes_.data(), sizeof(T));
        bytes_ = bytes_.subspan(sizeof(T));
        return value;
    }
    template <Plain T>
    std::vector<T> get_all() {
        const auto count = get<std::uint64_t>();
        if (count > bytes_.size() / sizeof(T)) fail("is too short");
        std::vector<T> values(static_cast<std::size_t>(count));
        if (count) std::memcpy(values.data(), bytes_.data(), values.size() * sizeof(T));
        bytes_ = bytes_.subspan(values.size() * sizeof(T));
        return values;
    }
    std::string get_text() {
        const auto text = get_all<char>();
        return {text.begin(), text.end()};
    }
    void finish() const {
        if (!bytes_.empty()) fail("is too long");
    }

  private:
    [[noreturn]] void fail(std::string_view why) const {
        throw_error<CommunicationError>("scheduler: the {} {}", what_, why);
    }

    std::span<const std::byte> bytes_;
    std::string_view what_;
};

}  // namespace divs::sched
