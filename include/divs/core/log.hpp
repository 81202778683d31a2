// Log lines to stderr, each with its level and, under MPI, its rank. Results go to stdout, never through here.
#pragma once

#include <spdlog/spdlog.h>

#include <string_view>

namespace divs::log {

using spdlog::debug;
using spdlog::error;
using spdlog::info;
using spdlog::warn;

// Sets the level ("debug", "info", "warn", "error", "off") and the rank prefix (none when size is 1).
// Ranks other than 0 print from "warn" upwards unless the level is "debug".
void configure(std::string_view level, int rank, int size);

}  // namespace divs::log
