// The one object with Catch2's own code in it, which takes longer to compile than any test.
#define CATCH_CONFIG_RUNNER
#include "support/catch.hpp"
#include "support/run_cases.hpp"

namespace divs::test {

int run_cases(int argc, char** argv) {
    return Catch::Session().run(argc, argv);
}

}  // namespace divs::test
