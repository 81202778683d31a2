// The commands of `divs`. Each add_ function declares one subcommand with its options and what runs when it is chosen;
// a failure is thrown as divs::Error and turned into a message and an exit code by main().
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace divs::cli {

// Options that every command shares.
struct Common {
    std::string log_level = "info";
    std::vector<std::string> overrides;  // --set section.key=value
};

// ConfigError where a launcher started several processes of a command that is one.
void require_one_process(const char* command);

// The program with its git revision, and the libraries that it runs on, one a line.
std::string version_text();

void add_analyze(CLI::App& app, Common& common);
void add_bench(CLI::App& app, Common& common);
void add_doctor(CLI::App& app, Common& common);
void add_eval(CLI::App& app, Common& common);
void add_export(CLI::App& app, Common& common);
void add_import(CLI::App& app, Common& common);
void add_index(CLI::App& app, Common& common);
void add_info(CLI::App& app, Common& common);
void add_manual(CLI::App& app, Common& common);
void add_synth(CLI::App& app, Common& common);
void add_train(CLI::App& app, Common& common);

}  // namespace divs::cli
