#pragma once

namespace divs::test {

// Runs the test cases that Catch2's command line names; the exit code.
int run_cases(int argc, char** argv);

}  // namespace divs::test
