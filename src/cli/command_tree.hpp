// The commands and options of the program as plain data, read from the parser that also prints --help: the
// one source of the manual page and of the shells' completions.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace divs::cli {

struct OptionNode {
    std::vector<std::string> names;    // "-h", "--help"; of a positional its one name
    std::string value;                 // "TEXT", "INT"; empty: a flag
    std::vector<std::string> choices;  // where only some words are taken
    std::string constraint;            // "POSITIVE", "INT in [1 - 64]"; empty: none
    std::string text, fallback;        // description; default value
    bool positional = false, required = false, repeats = false;
};

struct CommandNode {
    std::string name, text;
    std::vector<OptionNode> options;  // in the order of --help
    std::vector<CommandNode> commands;
};

CommandNode command_tree(const CLI::App& app);  // without hidden commands and options

// The manual page (man(7) macros) and the completions that go with it. ConfigError for another shell.
std::string manual_page(const CommandNode& program, const std::string& version);
std::string completion(const CommandNode& program, const std::string& shell);  // bash, zsh or fish

}  // namespace divs::cli
