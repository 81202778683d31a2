// The operations that tests of the cuda backend try: on the double of a device few convolutions, which the oracle makes
// there, on a device all.
#pragma once

#include "operation_cases.hpp"

namespace divs::nn::test {

std::vector<OperationCase> device_cases();

}  // namespace divs::nn::test
