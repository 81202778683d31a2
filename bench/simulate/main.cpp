// The paced job as a program of its own, for smpirun.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>

#include "bench.hpp"

int main(int argc, char** argv) {
    try {
        CLI::App app("A paced training job on a simulated machine; started by smpirun");
        app.require_subcommand(1);
        divs::bench::add_paced(app);
        CLI11_PARSE(app, argc, argv);
    } catch (const std::exception& e) {
        std::fprintf(stderr, "divs: %s\n", e.what());
        return 1;
    }
    return 0;
}
