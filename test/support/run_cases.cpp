// The one object with Catch2's own code in it, which takes longer to compile than any test.
#define CATCH_CONFIG_RUNNER
#include "support/catch.hpp"
#include "support/run_cases.hpp"

namespace divs::test {

int run_cases(int argc, char** argv) {
    Catch::Session session;
#if CATCH_VERSION_MAJOR < 3
    // A name that no test has is an error, as it is from version 3 on: CMake, for one, cuts names at semicolons.
    session.configData().warnings = Catch::WarnAbout::NoTests;
#endif
    return session.run(argc, argv);
}

}  // namespace divs::test
