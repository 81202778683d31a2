// Sizes, times, shares and counts as people read them.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace divs {

// "1.5 KiB", "3.2 MiB"
std::string bytes_text(double bytes);
// "850 ms", "12.3 s", "4 min 05 s", "2 h 07 min"
std::string seconds_text(double seconds);
// 0.4567 -> "45.7 %"
std::string percent_text(double fraction);
// "1 rank", "2 ranks"
std::string count_text(std::size_t count, std::string_view noun);

}  // namespace divs
