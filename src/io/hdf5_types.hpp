// Types, dimensions and text of HDF5 objects, with their sizes checked.
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "divs/io/hdf5.hpp"
#include "hdf5_library.hpp"

namespace divs::io::hdf5 {

template <class... Args>
[[noreturn]] void bad(const Place& place, fmt::format_string<Args...> format, Args&&... args) {
    throw InputError(place.text() + ": " + fmt::format(format, std::forward<Args>(args)...));
}

ElementType element_type(hid_t type);
const char* class_name(H5T_class_t kind);  // for messages
Dims dims_of(hid_t space, const Place& place);

// Elements of these dimensions; InputError where `element_bytes` of each would be more than `most_bytes`.
std::size_t checked_count(const Dims& dims, std::uint64_t element_bytes, std::uint64_t most_bytes,
                          const Place& place);

// `count` texts as stored, of variable or fixed length. `read` fills memory in the type that it is given.
std::vector<std::string> read_strings(hid_t type, hid_t space, std::size_t count, const Place& place,
                                      const std::function<void(hid_t, void*)>& read);

}  // namespace divs::io::hdf5
