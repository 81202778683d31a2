// What reader and writer share: the way into the HDF5 library, its handles, and its errors.
#pragma once

#include <hdf5.h>

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include "divs/core/error.hpp"

namespace divs::io::hdf5 {

// Held during every call into the library, which is not safe from several threads. Also keeps the library
// from printing its errors, and from loading filter code that a file names.
class Entry {
  public:
    Entry();
    ~Entry();
    Entry(const Entry&) = delete;
};

// An identifier of the library with the call that releases it.
class Handle {
  public:
    Handle() = default;
    Handle(hid_t id, herr_t (*close)(hid_t)) : id_(id), close_(close) {}
    ~Handle() { reset(); }
    Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, H5I_INVALID_HID)), close_(other.close_) {}
    Handle& operator=(Handle&& other) noexcept {
        reset();
        id_ = std::exchange(other.id_, H5I_INVALID_HID);
        close_ = other.close_;
        return *this;
    }
    hid_t get() const noexcept { return id_; }
    explicit operator bool() const noexcept { return id_ >= 0; }
    void reset() noexcept {
        if (id_ >= 0 && close_) close_(std::exchange(id_, H5I_INVALID_HID));
    }

  private:
    hid_t id_ = H5I_INVALID_HID;
    herr_t (*close_)(hid_t) = nullptr;
};

// The library's own words for the last failure: the innermost message.
std::string last_error();

// Where a call failed: "file: dataset \"x\": what: the library's words".
struct Place {
    std::string file, object;
    std::string text() const { return object.empty() ? file : file + ": \"" + object + "\""; }
};

template <class E>
[[noreturn]] void fail(const Place& place, std::string_view what) {
    const std::string why = last_error();
    throw_error<E>("{}: {}{}{}", place.text(), what, why.empty() ? "" : ": ", why);
}

// Turns a negative identifier or status into an error of kind E.
template <class E>
Handle check(hid_t id, herr_t (*close)(hid_t), const Place& place, std::string_view what) {
    if (id < 0) fail<E>(place, what);
    return Handle(id, close);
}
template <class E>
void check(herr_t status, const Place& place, std::string_view what) {
    if (status < 0) fail<E>(place, what);
}

// The first bytes of a sealed file, before HDF5's superblock.
inline constexpr std::size_t user_block_bytes = 512;
std::string make_user_block(std::uint64_t file_bytes, std::uint64_t body_hash);

// Reads everything in a foreign file in a child process; InputError where the child fails, crashes or takes
// too long.
void read_in_child(const std::filesystem::path& file);

}  // namespace divs::io::hdf5
