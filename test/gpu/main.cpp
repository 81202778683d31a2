// The tests of the cuda backend on the GPU at hand; ends with 77 and "no GPU here" where there is none.
#include <cstdio>
#include <exception>

#include "cuda/device.hpp"
#include "support/run_cases.hpp"

int main(int argc, char** argv) {
    try {
        std::printf("%s\n", divs::nn::cuda::Device(0).description().c_str());
    } catch (const std::exception& e) {
        std::printf("no GPU here: %s\n", e.what());
        return 77;
    }
    return divs::test::run_cases(argc, argv);
}
