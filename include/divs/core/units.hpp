// Sizes, times and shares as people read them.
#pragma once

#include <string>

namespace divs {

// "1.5 KiB", "3.2 MiB"
std::string bytes_text(double bytes);
// "850 ms", "12.3 s", "4 min 05 s", "2 h 07 min"
std::string seconds_text(double seconds);
// 0.4567 -> "45.7 %"
std::string percent_text(double fraction);

}  // namespace divs
