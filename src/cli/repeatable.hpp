// Options that are given once for each of their values.
#pragma once

#include <CLI/CLI.hpp>

namespace divs::cli {

// What follows one value is not another: it may be the configuration file.
inline void repeatable(CLI::Option* option) {
    option->take_all()->expected(1)->allow_extra_args(false)->default_str("");
}

}  // namespace divs::cli
