// This process.
#pragma once

namespace divs {

// Seconds since it was started (to a hundredth); 0 where the system does not tell.
double process_seconds();

// Lets the C library keep what is freed, where it can be told (glibc), instead of giving it back to the system: every
// shard's decoder allocates its frames anew, and pages that come back must be zeroed and mapped again. Call before
// threads start.
void keep_freed_memory();

}  // namespace divs
