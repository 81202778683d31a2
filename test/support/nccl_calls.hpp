// What NCCL's double was asked to do by this process, in order.
#pragma once

#include <dlfcn.h>

#include <cstdlib>
#include <string>

#include "support/catch.hpp"

namespace divs::test {

inline std::string nccl_calls() {
    void* const library = dlopen(std::getenv("DIVS_NCCL"), RTLD_NOW);
    REQUIRE(library);
    const auto calls = reinterpret_cast<const char* (*)()>(dlsym(library, "nccl_double_calls"));
    REQUIRE(calls);
    return calls();
}

}  // namespace divs::test
