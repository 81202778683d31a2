// What the benchmarks share. Each file bench_NAME.cpp declares one subcommand of `divs bench` with add_NAME(): its
// options, and what runs when it is chosen. Every benchmark prints a table, and with --json FILE the same as JSON with
// the machine and the versions.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace CLI {
class App;
}
namespace divs::cli {
struct Common;
}

namespace divs::bench {

// The median; 0 for nothing.
double median(std::vector<double> values);

// Runs every candidate once a round, in turn, so that a noisy machine hits all alike. Gives each one's median of what
// it returned; the first `warm_up` rounds do not count.
std::vector<double> interleaved(int rounds, int warm_up, const std::vector<std::function<double()>>& candidates);

// A table that is printed to stdout and kept as JSON: {"benchmark", "machine", "versions", "columns", "rows",
// "figures"}. A cell is a string or a number.
class Report {
  public:
    Report(std::string benchmark, std::vector<std::string> columns);
    void row(std::vector<nlohmann::json> cells);
    // A figure with its unit that stands for the whole run: printed below the table, one line each.
    void figure(const std::string& name, double value, const std::string& unit = "");
    void version(const std::string& name, const std::string& value);  // of a library that took part
    void keep(const std::string& key, nlohmann::json value);           // in the JSON alone
    void note(const std::string& text);  // printed below the table, kept as "notes"
    // Prints the table; writes the JSON to `file` unless it is empty ("-": stdout instead of the table).
    void finish(const std::string& file) const;

  private:
    nlohmann::json json_;
};

void add_conv(CLI::App& bench);
void add_step(CLI::App& bench);
void add_decode(CLI::App& bench);
void add_allreduce(CLI::App& bench);
void add_balance(CLI::App& bench);
void add_scale(CLI::App& bench, const cli::Common& common);
void add_restart(CLI::App& bench);
void add_paced(CLI::App& bench);
void add_decide(CLI::App& bench);

}  // namespace divs::bench
