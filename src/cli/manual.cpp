// The manual page, in man(7) macros.
#include <fmt/format.h>

#include "command_tree.hpp"
#include "divs/core/error.hpp"

namespace divs::cli {
namespace {

// Text that the formatter takes literally.
std::string plain(const std::string& text) {
    std::string out;
    for (const char c : text) {
        if (c == '\\')
            out += "\\e";
        else if (c == '-')
            out += "\\-";
        else if (c == '\n')
            out += "\n.br\n";
        else
            out += c;
    }
    return out.starts_with('.') || out.starts_with('\'') ? "\\&" + out : out;
}

std::string sentence(std::string text) {
    if (text.empty()) return text;
    text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
    if (!text.ends_with('.')) text += '.';
    return text;
}

std::string joined(const std::vector<std::string>& words, std::string_view between) {
    std::string out;
    for (const std::string& word : words) out += (out.empty() ? "" : std::string(between)) + word;
    return out;
}

std::string placeholder(const OptionNode& option) {
    return option.choices.empty() ? option.value : joined(option.choices, "|");
}

std::string italic(const std::string& text) {
    return "\\fI" + plain(text) + "\\fR";
}
std::string bold(const std::string& text) {
    return "\\fB" + plain(text) + "\\fR";
}

std::string heading(const OptionNode& option) {
    std::string out;
    for (const std::string& name : option.names)
        out += (out.empty() ? "" : ", ") + (option.positional ? italic(name) : bold(name));
    if (!option.positional && !option.value.empty()) out += " " + italic(placeholder(option));
    return out + (option.repeats ? " ..." : "");
}

std::string entry(const OptionNode& option) {
    std::string body = plain(sentence(option.text));
    if (option.positional && !option.choices.empty())
        body += plain(fmt::format(" One of {}.", joined(option.choices, ", ")));
    if (!option.constraint.empty()) body += plain(fmt::format(" Takes: {}.", option.constraint));
    if (!option.fallback.empty()) body += plain(fmt::format(" Default: {}.", option.fallback));
    if (option.required) body += " Required.";
    return fmt::format(".TP\n{}\n{}\n", heading(option), body.empty() ? "\\&" : body);
}

std::string synopsis(const CommandNode& command) {
    std::string out;
    for (const OptionNode& option : command.options) {
        if (!option.positional) continue;
        const std::string name = italic(option.names[0]) + (option.repeats ? " ..." : "");
        out += option.required ? " " + name : " [" + name + "]";
    }
    return out + " [\\fIoptions\\fR]";
}

bool is_help(const OptionNode& option) {
    return option.names.back() == "--help";
}

void add_commands(const CommandNode& parent, const std::string& path, std::string& out) {
    for (const CommandNode& command : parent.commands) {
        const std::string name = path + " " + command.name;
        if (command.commands.empty()) {
            out += fmt::format(".SS {}\n\\fB{}\\fR{}\n.PP\n{}\n", plain(name), plain(name), synopsis(command),
                               plain(sentence(command.text)));
            for (const OptionNode& option : command.options)
                if (!is_help(option)) out += entry(option);
        } else {
            out += fmt::format(".SS {}\n{}\n", plain(name), plain(sentence(command.text)));
        }
        add_commands(command, name, out);
    }
}

constexpr struct {
    ExitCode code;
    const char* text;
} exit_codes[] = {
    {ExitCode::ok, "All went well."},
    {ExitCode::failure, "Anything without a code of its own; divs doctor found an error."},
    {ExitCode::usage, "Wrong command line or configuration."},
    {ExitCode::input, "A file cannot be read or is not what it should be."},
    {ExitCode::storage, "A write failed: disk full, no permission, a folder in use."},
    {ExitCode::communication, "A peer, or the MPI library, failed."},
    {ExitCode::hang, "The watchdog saw no progress."},
    {ExitCode::diverged, "The loss or a gradient is not finite."},
};

}  // namespace

std::string manual_page(const CommandNode& program, const std::string& version) {
    std::string out =
        fmt::format(".TH DIVS 1 \"\" \"divs {}\" \"User Commands\"\n.SH NAME\ndivs \\- {}\n", plain(version),
                    "train video models on a cluster and analyse video with them");
    out +=
        ".SH SYNOPSIS\n\\fBdivs\\fR [\\fIoptions\\fR] \\fIcommand\\fR [\\fIarguments\\fR]\n.PP\n\\fBmpirun "
        "\\-n\\fR "
        "\\fIranks\\fR \\fBdivs\\fR \\fIcommand\\fR [\\fIarguments\\fR]\n";
    out += fmt::format(".SH DESCRIPTION\n{}\n", plain(program.text));
    out += ".SH OPTIONS\nThey may stand before or behind the command.\n";
    for (const OptionNode& option : program.options) out += entry(option);
    out += ".SH COMMANDS\n";
    add_commands(program, "divs", out);
    out += ".SH EXIT STATUS\n";
    for (const auto& [code, text] : exit_codes)
        out += fmt::format(".TP\n{}\n{}\n", static_cast<int>(code), plain(text));
    return out + ".SH SEE ALSO\n.BR mpirun (1),\n.BR sbatch (1)\n";
}

}  // namespace divs::cli
