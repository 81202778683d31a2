// divs man, divs completion SHELL: what is installed beside the program, made from its own options. Not shown
// by --help.
#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "command_tree.hpp"
#include "commands.hpp"
#include "divs/core/build_info.hpp"

namespace divs::cli {

void add_manual(CLI::App& app, Common&) {
    CLI::App& man = *app.add_subcommand("man", "The manual page: divs man | man -l -")->group("");
    man.callback([&app] { std::cout << manual_page(command_tree(app), build_info().version); });

    auto shell = std::make_shared<std::string>();
    CLI::App& completion_command =
        *app.add_subcommand("completion", "Completion for a shell: source <(divs completion bash)")
             ->group("");
    completion_command.add_option("shell", *shell, "bash, zsh or fish")
        ->required()
        ->check(CLI::IsMember({"bash", "zsh", "fish"}));
    completion_command.callback([&app, shell] { std::cout << completion(command_tree(app), *shell); });
}

}  // namespace divs::cli
