// Completion scripts. Each first walks the words to find the command that is being typed, skipping the values
// of options, then offers that command's subcommands, options and the words that an option takes; files
// otherwise.
#include <fmt/format.h>

#include "command_tree.hpp"
#include "divs/core/error.hpp"

namespace divs::cli {
namespace {

// A command with its place: "" for the program itself, "/bench/conv".
struct Placed {
    std::string path;
    const CommandNode* command;
    const CommandNode* program;
};

void place(const CommandNode& command, const std::string& path, const CommandNode& program,
           std::vector<Placed>& all) {
    all.push_back({path, &command, &program});
    for (const CommandNode& child : command.commands) place(child, path + "/" + child.name, program, all);
}

std::vector<Placed> placed(const CommandNode& program) {
    std::vector<Placed> all;
    place(program, "", program, all);
    return all;
}

// The named options that may stand in a command's line: its own, and the program's.
std::vector<const OptionNode*> options_at(const Placed& at) {
    std::vector<const OptionNode*> out;
    for (const OptionNode& option : at.command->options)
        if (!option.positional) out.push_back(&option);
    if (at.command == at.program) return out;
    for (const OptionNode& option : at.program->options)
        if (option.names.back() != "--help" && option.names.back() != "--version") out.push_back(&option);
    return out;
}

std::string single_quoted(const std::string& text) {  // for a POSIX-like shell
    std::string out = "'";
    for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return out + "'";
}

std::string words(const std::vector<std::string>& list) {
    std::string out;
    for (const std::string& word : list) out += (out.empty() ? "" : " ") + word;
    return out;
}

// case labels `PATH NAME` of the options that `wanted` picks.
template <class Wanted>
std::string labels(const Placed& at, Wanted wanted) {
    std::string out;
    for (const OptionNode* option : options_at(at))
        if (wanted(*option))
            for (const std::string& name : option->names)
                out += fmt::format("{}\"{} {}\"", out.empty() ? "" : "|", at.path, name);
    return out;
}

// The loop that bash and zsh share: word list, first index, index of the word being typed.
std::string walk(const std::vector<Placed>& all, std::string_view list, std::string_view first,
                 std::string_view end) {
    std::string commands, with_value;
    for (const Placed& at : all) {
        if (!at.path.empty()) commands += (commands.empty() ? "" : "|") + at.path;
        const std::string more = labels(at, [](const OptionNode& o) { return !o.value.empty(); });
        if (!more.empty()) with_value += (with_value.empty() ? "" : "|") + more;
    }
    return fmt::format(
        "    local at= i\n    for ((i = {1}; i < {2}; i++)); do\n"
        "        case \"$at ${{{0}[i]}}\" in {3}) ((i++)); continue ;; esac\n"
        "        case \"$at/${{{0}[i]}}\" in {4}) at=$at/${{{0}[i]}} ;; esac\n    done\n",
        list, first, end, with_value, commands);
}

std::string for_bash(const std::vector<Placed>& all) {
    std::string out =
        "# bash completion for divs; written by `divs completion bash`\n_divs() {\n"
        "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}\n"
        "    if [[ $word == = ]]; then word=; elif [[ $before == = ]]; then before=${COMP_WORDS[COMP_CWORD - "
        "2]}; fi\n"
        "    COMPREPLY=()\n";
    out += walk(all, "COMP_WORDS", "1", "COMP_CWORD") + "    case \"$at $before\" in\n";
    for (const Placed& at : all) {
        for (const OptionNode* option : options_at(at))
            if (!option->choices.empty())
                out += fmt::format("        {}) COMPREPLY=($(compgen -W {} -- \"$word\")); return ;;\n",
                                   labels(at, [&](const OptionNode& o) { return &o == option; }),
                                   single_quoted(words(option->choices)));
        const std::string free =
            labels(at, [](const OptionNode& o) { return !o.value.empty() && o.choices.empty(); });
        if (!free.empty()) out += fmt::format("        {}) return ;;\n", free);
    }
    out += "    esac\n    case $at in\n";
    for (const Placed& at : all) {
        std::vector<std::string> names, commands;
        for (const OptionNode* option : options_at(at))
            for (const std::string& name : option->names) names.push_back(name);
        for (const CommandNode& child : at.command->commands) commands.push_back(child.name);
        for (const OptionNode& option : at.command->options)
            if (option.positional)
                commands.insert(commands.end(), option.choices.begin(), option.choices.end());
        out += fmt::format("        {}) set -- {} {} ;;\n", single_quoted(at.path),
                           single_quoted(words(commands)), single_quoted(words(names)));
    }
    return out +
           "    esac\n    if [[ $word == -* ]]; then COMPREPLY=($(compgen -W \"$2\" -- \"$word\"))\n"
           "    else COMPREPLY=($(compgen -W \"$1\" -- \"$word\")); fi\n}\n"
           "complete -o bashdefault -o default -F _divs divs\n";
}

// "name:description" with the colons of both escaped.
std::string described(const std::string& name, const std::string& text) {
    const auto escaped = [](const std::string& s) {
        std::string out;
        for (const char c : s) out += c == ':' ? std::string("\\:") : std::string(1, c);
        return out;
    };
    return single_quoted(escaped(name) + ":" + escaped(text));
}

std::string for_zsh(const std::vector<Placed>& all) {
    std::string out =
        "#compdef divs\n# zsh completion for divs; written by `divs completion zsh`\n_divs() {\n"
        "    local -a commands options\n    local before=${words[CURRENT - 1]}\n";
    out += walk(all, "words", "2", "CURRENT") + "    case \"$at $before\" in\n";
    for (const Placed& at : all) {
        for (const OptionNode* option : options_at(at))
            if (!option->choices.empty())
                out += fmt::format("        {}) compadd -- {}; return ;;\n",
                                   labels(at, [&](const OptionNode& o) { return &o == option; }),
                                   words(option->choices));
        const std::string free =
            labels(at, [](const OptionNode& o) { return !o.value.empty() && o.choices.empty(); });
        if (!free.empty()) out += fmt::format("        {}) _files; return ;;\n", free);
    }
    out += "    esac\n    case $at in\n";
    for (const Placed& at : all) {
        std::string commands, options;
        for (const CommandNode& child : at.command->commands)
            commands += " " + described(child.name, child.text);
        for (const OptionNode& option : at.command->options)
            if (option.positional)
                for (const std::string& word : option.choices) commands += " " + described(word, option.text);
        for (const OptionNode* option : options_at(at))
            for (const std::string& name : option->names) options += " " + described(name, option->text);
        out += fmt::format("        {}) commands=({}) options=({}) ;;\n", single_quoted(at.path), commands,
                           options);
    }
    return out +
           "    esac\n    if [[ ${words[CURRENT]} == -* ]]; then _describe option options\n"
           "    elif ((${#commands})); then _describe command commands\n    else _files; fi\n}\n_divs "
           "\"$@\"\n";
}

std::string for_fish(const std::vector<Placed>& all) {
    std::string out = "# fish completion for divs; written by `divs completion fish`\n";
    for (const Placed& at : all) {
        std::string condition = "true";
        for (std::size_t from = 1; from <= at.path.size();) {
            const std::size_t end = std::min(at.path.find('/', from), at.path.size());
            condition += "; and __fish_seen_subcommand_from " + at.path.substr(from, end - from);
            from = end + 1;
        }
        std::string children;
        for (const CommandNode& child : at.command->commands) children += " " + child.name;
        const std::string here =
            children.empty() ? condition : condition + "; and not __fish_seen_subcommand_from" + children;
        for (const CommandNode& child : at.command->commands)
            out += fmt::format("complete -c divs -f -n {} -a {} -d {}\n", single_quoted(here), child.name,
                               single_quoted(child.text));
        for (const OptionNode& option : at.command->options) {
            const std::string choices =
                option.choices.empty() ? "" : fmt::format(" -f -a {}", single_quoted(words(option.choices)));
            std::string names;
            for (const std::string& name : option.names)
                names += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
            if (!option.positional)
                out += fmt::format("complete -c divs -n {}{}{}{} -d {}\n", single_quoted(condition), names,
                                   option.value.empty() ? "" : " -r", choices, single_quoted(option.text));
            else if (!choices.empty())
                out += fmt::format("complete -c divs -n {}{}\n", single_quoted(condition), choices);
        }
    }
    return out;
}

}  // namespace

std::string completion(const CommandNode& program, const std::string& shell) {
    const std::vector<Placed> all = placed(program);
    if (shell == "bash") return for_bash(all);
    if (shell == "zsh") return for_zsh(all);
    if (shell == "fish") return for_fish(all);
    throw_error<ConfigError>("completion for {}: expected bash, zsh or fish", shell);
}

}  // namespace divs::cli
