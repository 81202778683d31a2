// Numbers that bench/peers makes alike: hashes of (element, name), see bench/peers/hashes.py.
#pragma once

#include <cstdint>
#include <string_view>

namespace divs::nn::test {

inline std::uint32_t hash(std::uint32_t element, std::uint32_t name) {  // the finaliser of MurmurHash3
    std::uint32_t x = element * 0x9E3779B9U + name;
    x = (x ^ (x >> 16)) * 0x85EBCA6BU;
    x = (x ^ (x >> 13)) * 0xC2B2AE35U;
    return x ^ (x >> 16);
}

inline std::uint32_t name_hash(std::string_view name) {  // FNV-1a, 32 bit
    std::uint32_t value = 0x811C9DC5U;
    for (const char c : name) value = (value ^ static_cast<unsigned char>(c)) * 0x01000193U;
    return value;
}

}  // namespace divs::nn::test
