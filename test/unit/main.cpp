#include "support/run_cases.hpp"

int main(int argc, char** argv) {
    return divs::test::run_cases(argc, argv);
}
