// Enums by the names that configurations give them.
#pragma once

#include <fmt/ranges.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "divs/core/error.hpp"

namespace divs {

// The value of the enum whose names, in its order, these are; ConfigError, saying `what` it is for, where there is none
// of that name.
template <class Enum>
Enum named(std::string_view name, const std::vector<std::string>& names, std::string_view what) {
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end())
        throw_error<ConfigError>("{} \"{}\": expected {}", what, name, fmt::join(names, ", "));
    return static_cast<Enum>(found - names.begin());
}

}  // namespace divs
