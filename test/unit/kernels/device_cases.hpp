// The operations that tests of the cuda backend try: on the double of a device few convolutions, which the oracle makes
// there, on a device all.
#pragma once

#include "operation_cases.hpp"

namespace divs::nn::test {

std::vector<OperationCase> device_cases();
std::vector<OperationCase> folded_device_cases();

// The largest relative error (2-norm) of float32 sums of products there.
double product_bound();

}  // namespace divs::nn::test
