// What a backend plugin, `libdivs_<name>.so`, exports: one C function that makes its Backend. The number in
// its name and `backend_interface` guard against a plugin built for other headers than the program that opens
// it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "divs/nn/backend.hpp"

namespace divs::nn {

// Raised with every change of backend.hpp, operations.hpp or tensor.hpp that changes a class or its virtual
// functions.
inline constexpr std::uint32_t backend_interface = 4;

struct BackendRequest {
    std::uint32_t interface = backend_interface;  // of the program
    BackendOptions options;
};

// Returns a new backend, which the caller owns, or null after writing the reason (zero-terminated, at most
// `reason_bytes` with the zero): another interface, no device, a library that is missing. Throws nothing.
using BackendFactory = Backend* (*)(const BackendRequest* request, char* reason, std::size_t reason_bytes);

inline constexpr const char* backend_factory_symbol = "divs_backend_factory_v1";

}  // namespace divs::nn

extern "C" divs::nn::Backend* divs_backend_factory_v1(const divs::nn::BackendRequest* request, char* reason,
                                                      std::size_t reason_bytes);
