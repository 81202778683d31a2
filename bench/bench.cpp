// The `divs bench` command: one subcommand a benchmark.
#include "bench.hpp"

#include <CLI/CLI.hpp>

#include "commands.hpp"

namespace divs::cli {

void add_bench(CLI::App& app, Common& common) {
    CLI::App& bench = *app.add_subcommand("bench", "Measure: each benchmark prints a table, and JSON with --json FILE");
    bench.require_subcommand(1);
    divs::bench::add_balance(bench);
    divs::bench::add_paced(bench);
    divs::bench::add_decide(bench);
    divs::bench::add_allreduce(bench);
    divs::bench::add_conv(bench);
    divs::bench::add_step(bench);
    divs::bench::add_decode(bench);
    divs::bench::add_scale(bench, common);
    divs::bench::add_restart(bench);
}

}  // namespace divs::cli
