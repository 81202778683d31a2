#include "divs/core/log.hpp"

#include <spdlog/sinks/stdout_color_sinks.h>

#include <memory>
#include <string>

#include "divs/core/error.hpp"

namespace divs::log {

void configure(std::string_view level, int rank, int size) {
    auto parsed = spdlog::level::from_str(std::string(level));
    if (parsed == spdlog::level::off && level != "off")
        throw_error<ConfigError>("log level \"{}\": expected debug, info, warn, error or off", level);
    if (rank > 0 && parsed == spdlog::level::info) parsed = spdlog::level::warn;
    auto logger = std::make_shared<spdlog::logger>("divs", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
    logger->set_level(parsed);
    const std::string prefix = size > 1 ? fmt::format("rank {} ", rank) : "";
    logger->set_pattern("%H:%M:%S " + prefix + "%^%l%$ %v");
    spdlog::set_default_logger(logger);
}

}  // namespace divs::log
