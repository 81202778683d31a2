// This process.
#pragma once

namespace divs {

// Seconds since it was started (to a hundredth); 0 where the system does not tell.
double process_seconds();

}  // namespace divs
