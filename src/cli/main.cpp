#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "commands.hpp"
#include "divs/core/config.hpp"
#include "divs/core/error.hpp"
#include "divs/core/log.hpp"
#include "divs/core/process.hpp"
#include "repeatable.hpp"

namespace {

// The first word, where it is no command; empty where it is one, or an option.
std::string unknown_command(const CLI::App& app, int argc, char** argv) {
    const std::string word = argc > 1 ? argv[1] : "";
    const auto is_it = [&](const CLI::App* command) { return command->check_name(word); };
    return word.starts_with('-') || !app.get_subcommands(is_it).empty() ? "" : word;
}

void print_unknown(const CLI::App& app, const std::string& word) {
    std::vector<std::string> names;
    const auto is_shown = [](const CLI::App* command) { return !command->get_group().empty(); };
    for (const CLI::App* command : app.get_subcommands(is_shown)) names.push_back(command->get_name());
    const std::string near = divs::nearest(word, names);
    fmt::print(stderr, "\"{}\" is no command{}; divs --help lists them\n", word,
               near.empty() ? "" : fmt::format(", did you mean \"{}\"?", near));
}

int run(int argc, char** argv) {
    CLI::App app("DIVS trains video models on a cluster and analyses surveillance video with them.", "divs");
    app.require_subcommand(1);
    app.set_version_flag("--version", divs::cli::version_text, "Print the versions of the program and its libraries");
    app.fallthrough();
    app.option_defaults()->always_capture_default();
    divs::cli::Common common;
    app.add_option("--log", common.log_level, "debug, info, warn, error or off");
    divs::cli::repeatable(
        app.add_option("--set", common.overrides, "section.key=value, overrides the configuration file"));
    app.parse_complete_callback([&] { divs::log::configure(common.log_level, 0, 1); });
    for (const auto add : {divs::cli::add_synth, divs::cli::add_index, divs::cli::add_train, divs::cli::add_eval,
                           divs::cli::add_export, divs::cli::add_import, divs::cli::add_analyze, divs::cli::add_bench,
                           divs::cli::add_info, divs::cli::add_doctor, divs::cli::add_manual})
        add(app, common);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        if (const std::string word = unknown_command(app, argc, argv); !word.empty()) {
            print_unknown(app, word);
            return static_cast<int>(divs::ExitCode::usage);
        }
        const int failed = app.exit(e);  // prints help or what is wrong
        return static_cast<int>(failed ? divs::ExitCode::usage : divs::ExitCode::ok);
    }
    return static_cast<int>(divs::ExitCode::ok);
}

}  // namespace

int main(int argc, char** argv) {
    divs::keep_freed_memory();
    std::signal(SIGXFSZ, SIG_IGN);  // a file longer than the process may write is an error that is told
    try {
        return run(argc, argv);
    } catch (const divs::Error& e) {
        std::fprintf(stderr, "divs: %s\n", e.what());
        return static_cast<int>(e.code());
    } catch (const std::exception& e) {
        std::fprintf(stderr, "divs: unexpected: %s\n", e.what());
        return static_cast<int>(divs::ExitCode::failure);
    }
}
