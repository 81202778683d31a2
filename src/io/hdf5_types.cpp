#include "hdf5_types.hpp"

#include <algorithm>
#include <limits>

namespace divs::io::hdf5 {

ElementType element_type(hid_t type) {
    const std::size_t size = H5Tget_size(type);
    switch (H5Tget_class(type)) {
        case H5T_FLOAT:
            return size == 4 ? ElementType::float32 : size == 8 ? ElementType::float64 : ElementType::other;
        case H5T_INTEGER:
            if (size == 8 && H5Tget_sign(type) == H5T_SGN_2) return ElementType::int64;
            if (size == 4 && H5Tget_sign(type) == H5T_SGN_2) return ElementType::int32;
            return size == 1 && H5Tget_sign(type) == H5T_SGN_NONE ? ElementType::uint8 : ElementType::other;
        case H5T_STRING:
            return ElementType::string;
        default:
            return ElementType::other;
    }
}

const char* class_name(H5T_class_t kind) {
    switch (kind) {
        case H5T_FLOAT:
            return "floating-point numbers";
        case H5T_INTEGER:
            return "whole numbers";
        case H5T_STRING:
            return "text";
        default:
            return "another type";
    }
}

Dims dims_of(hid_t space, const Place& place) {
    if (H5Sget_simple_extent_type(space) == H5S_NULL) return {0};
    const int rank = H5Sget_simple_extent_ndims(space);
    if (rank < 0) fail<InputError>(place, "its dimensions cannot be read");
    std::vector<hsize_t> extent(static_cast<std::size_t>(rank));
    check<InputError>(H5Sget_simple_extent_dims(space, extent.data(), nullptr), place,
                      "its dimensions cannot be read");
    for (const auto e : extent)
        if (e > static_cast<hsize_t>(std::numeric_limits<std::int64_t>::max())) bad(place, "dimension {}", e);
    return {extent.begin(), extent.end()};
}

// Elements of these dimensions; InputError where `element_bytes` of each would be more than `most_bytes`.
std::size_t checked_count(const Dims& dims, std::uint64_t element_bytes, std::uint64_t most_bytes,
                          const Place& place) {
    if (std::find(dims.begin(), dims.end(), 0) != dims.end()) return 0;
    const std::uint64_t most = most_bytes / std::max<std::uint64_t>(1, element_bytes);
    std::uint64_t count = 1;
    for (const auto extent : dims) {
        if (static_cast<std::uint64_t>(extent) > most / count)
            bad(place, "{} elements, more than its file can hold", fmt::join(dims, " x "));
        count *= static_cast<std::uint64_t>(extent);
    }
    return static_cast<std::size_t>(count);
}

// Text as stored: variable or fixed length. `read` fills memory in the given type.
std::vector<std::string> read_strings(hid_t type, hid_t space, std::size_t count, const Place& place,
                                      const std::function<void(hid_t, void*)>& read) {
    std::vector<std::string> out;
    out.reserve(count);
    if (count == 0) return out;
    Handle memory = check<InputError>(H5Tcopy(H5T_C_S1), H5Tclose, place, "no string type");
    H5Tset_cset(memory.get(), H5Tget_cset(type));
    if (H5Tis_variable_str(type) > 0) {
        H5Tset_size(memory.get(), H5T_VARIABLE);
        std::vector<char*> pointers(count, nullptr);
        read(memory.get(), pointers.data());
        for (const char* text : pointers) out.emplace_back(text ? text : "");
        H5Dvlen_reclaim(memory.get(), space, H5P_DEFAULT, pointers.data());
        return out;
    }
    const std::size_t length = H5Tget_size(type);
    H5Tset_size(memory.get(), length);
    H5Tset_strpad(memory.get(), H5T_STR_NULLPAD);
    std::vector<char> text(count * length);
    read(memory.get(), text.data());
    for (std::size_t i = 0; i < count; ++i) {
        const std::string_view all(text.data() + i * length, length);
        out.emplace_back(all.substr(0, all.find('\0')));
    }
    return out;
}

}  // namespace divs::io::hdf5
