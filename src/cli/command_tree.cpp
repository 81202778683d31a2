#include "command_tree.hpp"

#include <CLI/CLI.hpp>

namespace divs::cli {
namespace {

// "TEXT:{train,val,test}" -> value TEXT, choices; "INT:POSITIVE" -> value INT, constraint.
void read_type(const std::string& type, OptionNode& node) {
    const auto colon = type.find(':');
    node.value = type.substr(0, colon);
    if (colon == std::string::npos) return;
    node.constraint = type.substr(colon + 1);
    if (!node.constraint.starts_with('{') || !node.constraint.ends_with('}')) return;
    std::string word;
    for (const char c : node.constraint.substr(1))
        if (c == ',' || c == '}')
            node.choices.push_back(std::exchange(word, ""));
        else
            word += c;
    node.constraint.clear();
}

OptionNode option_node(const CLI::Option& option) {
    OptionNode node;
    node.text = option.get_description();
    node.required = option.get_required();
    node.repeats = option.get_items_expected_max() > 1;
    node.positional = !option.nonpositional();
    if (option.get_items_expected_max() > 0) {
        read_type(option.get_type_name(), node);
        node.fallback = option.get_default_str();
    }
    for (const std::string& name : option.get_snames()) node.names.push_back("-" + name);
    for (const std::string& name : option.get_lnames()) node.names.push_back("--" + name);
    if (node.positional) node.names = {option.get_name()};
    return node;
}

}  // namespace

CommandNode command_tree(const CLI::App& app) {
    CommandNode node{app.get_name(), app.get_description(), {}, {}};
    for (const CLI::Option* option : app.get_options())
        if (!option->get_group().empty()) node.options.push_back(option_node(*option));
    for (const CLI::App* command : app.get_subcommands({}))
        if (!command->get_group().empty()) node.commands.push_back(command_tree(*command));
    return node;
}

}  // namespace divs::cli
