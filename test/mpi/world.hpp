// For tests under MPI: the one World of the test program, made by main.cpp.
#pragma once

#include "divs/comm/world.hpp"

namespace divs::test {

comm::World& world();

}  // namespace divs::test
