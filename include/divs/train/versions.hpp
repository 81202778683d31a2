// What a training's results depend on besides its configuration.
#pragma once

#include "divs/comm/program.hpp"

namespace divs::train {

// The program and its libraries, for comm::require_same_program.
comm::Versions library_versions();

}  // namespace divs::train
