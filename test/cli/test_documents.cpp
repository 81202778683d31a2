// The manual page and the shells' completions, made from the options of the program, against its --help.
#include <algorithm>
#include <regex>
#include <set>

#include "support/catch.hpp"
#include "support/process.hpp"

using Catch::Matchers::ContainsSubstring;
using namespace divs::test;

namespace {

std::string output_of(const std::string& command) {
    const Outcome outcome = run_command(command);
    INFO(command << outcome.text());
    REQUIRE(outcome.status == 0);
    return outcome.out;
}

// "--size" and the like, of a command's help.
std::set<std::string> options_of(const std::string& help) {
    static const std::regex option("\\n  (-[a-z],)?(--[a-z][a-z-]*)");
    std::set<std::string> found;
    for (auto at = std::sregex_iterator(help.begin(), help.end(), option); at != std::sregex_iterator(); ++at)
        found.insert((*at)[2]);
    return found;
}

// The commands that help lists under "Subcommands:".
std::vector<std::string> commands_of(const std::string& help) {
    std::vector<std::string> found;
    const auto start = help.find("Subcommands:");
    if (start == std::string::npos) return found;
    static const std::regex command("\\n  ([a-z]+) ");
    const std::string list = help.substr(start);
    for (auto at = std::sregex_iterator(list.begin(), list.end(), command); at != std::sregex_iterator();
         ++at)
        found.push_back((*at)[1]);
    return found;
}

struct Page {
    std::string command, help;
};

void collect(const std::string& command, std::vector<Page>& pages) {
    pages.push_back({command, output_of(DIVS_PROGRAM + command + " --help")});
    for (const std::string& child : commands_of(std::string(pages.back().help)))
        collect(command + " " + child, pages);
}

std::vector<Page> all_pages() {
    std::vector<Page> pages;
    collect("", pages);
    return pages;
}

bool has(const char* tool) {
    if (run_command(std::string("which ") + tool).status == 0) return true;
    WARN(tool << " is not here: skipped");
    return false;
}

// What bash offers for a line that ends where the cursor is.
std::string bash_offers(const Scratch& scratch, const std::string& words) {
    write_text(scratch / "ask.sh",
               "source " + (scratch / "divs").string() + "\nCOMP_WORDS=(divs " + words +
                   ")\nCOMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n_divs\nprintf '%s\\n' \"${COMPREPLY[@]}\"\n");
    return output_of("bash --norc " + (scratch / "ask.sh").string());
}

}  // namespace

TEST_CASE("manual page: every command and option of --help, and no fault that the formatter sees") {
    const Scratch scratch;
    const std::string page = output_of(std::string(DIVS_PROGRAM) + " man");
    write_text(scratch / "divs.1", page);
    std::string plain;  // as it is typed
    for (std::size_t i = 0; i < page.size(); ++i)
        if (page[i] != '\\' || page[i + 1] != '-') plain += page[i];
    const auto pages = all_pages();
    REQUIRE(pages.size() > 12);
    for (const Page& help : pages) {
        const auto commands = commands_of(help.help);
        if (commands.empty()) CHECK_THAT(plain, ContainsSubstring(".SS divs" + help.command + "\n"));
        const auto begin = help.command.empty() ? 0 : plain.find(".SS divs" + help.command + "\n");
        REQUIRE(begin != std::string::npos);
        const std::string section = plain.substr(begin, plain.find("\n.S", begin + 4) - begin);
        for (const std::string& option : options_of(help.help)) {
            INFO("divs" << help.command << " " << option);
            if (option != "--help")
                CHECK_THAT(help.command.empty() ? plain : section,
                           ContainsSubstring("\\fB" + option + "\\fR"));
        }
    }
    CHECK_THAT(page, !ContainsSubstring("completion"));  // what --help hides stays hidden
    if (has("mandoc")) {
        const Outcome lint = run_command("mandoc -T lint -W warning " + (scratch / "divs.1").string());
        INFO(lint.text());
        CHECK_THAT(lint.out, !ContainsSubstring("ERROR"));
        CHECK(std::count(lint.out.begin(), lint.out.end(), '\n') <=
              1);  // the page has no date: it is the build's
    }
    if (has("groff")) {
        const Outcome formatted =
            run_command("groff -ww -man -Tascii -P-cbou " + (scratch / "divs.1").string());
        INFO(formatted.err);
        CHECK(formatted.err.empty());
        CHECK_THAT(formatted.out, ContainsSubstring("EXIT STATUS"));
    }
}

TEST_CASE("bash completes commands, their options, and the words that an option takes") {
    const Scratch scratch;
    write_text(scratch / "divs", output_of(std::string(DIVS_PROGRAM) + " completion bash"));
    CHECK(bash_offers(scratch, "tr") == "train\n");
    CHECK_THAT(bash_offers(scratch, "''"),
               ContainsSubstring("doctor\n") && ContainsSubstring("bench\n") && !ContainsSubstring("man"));
    CHECK_THAT(bash_offers(scratch, "bench re"), ContainsSubstring("restart\n"));
    CHECK(bash_offers(scratch, "eval run.toml --split ''") == "train\nval\ntest\n");
    CHECK(bash_offers(scratch, "eval run.toml --split = te") == "test\n");
    CHECK(bash_offers(scratch, "--log info tra") == "train\n");  // "info" is a value there, no command
    CHECK(bash_offers(scratch, "train --thr") == "--throttle\n");
    CHECK(bash_offers(scratch, "train --set") == "--set\n");  // the program's own options go anywhere
    CHECK(bash_offers(scratch, "train run.t") == "\n");       // files, which bash itself adds
    for (const Page& page : all_pages())
        for (const std::string& option : options_of(page.help)) {
            INFO("divs" << page.command << " " << option);
            CHECK_THAT(bash_offers(scratch, page.command + " " + option), ContainsSubstring(option + "\n"));
        }
    // As a shell loads it, through its own machinery.
    CHECK_THAT(output_of("bash --norc -c 'source " + (scratch / "divs").string() + " && complete -p divs'"),
               ContainsSubstring("-F _divs divs"));
}

TEST_CASE("zsh and fish complete the same") {
    const Scratch scratch;
    if (has("zsh")) {
        const std::string script = (scratch / "_divs").string();
        write_text(script, output_of(std::string(DIVS_PROGRAM) + " completion zsh"));
        const auto offers = [&](const std::string& line, int current) {
            write_text(scratch / "ask.zsh",
                       "_describe() { print -l -- ${(P)2} }\n_files() { print FILES }\n"
                       "compadd() { shift; print -l -- $@ }\nwords=(divs " +
                           line + ")\nCURRENT=" + std::to_string(current) + "\nsource " + script + "\n");
            return output_of("zsh -f " + (scratch / "ask.zsh").string());
        };
        CHECK_THAT(offers("''", 2), ContainsSubstring("train:Train a model") && ContainsSubstring("doctor:"));
        CHECK_THAT(offers("train --", 3), ContainsSubstring("--throttle:RANK=FACTOR"));
        CHECK(offers("eval run.toml --split ''", 5) == "train\nval\ntest\n");
        CHECK(offers("train ''", 3) == "FILES\n");
        CHECK_THAT(offers("bench conv --", 4), ContainsSubstring("--json:"));
    }
    if (has("fish")) {
        const std::string script = (scratch / "divs.fish").string();
        write_text(script, output_of(std::string(DIVS_PROGRAM) + " completion fish"));
        const auto offers = [&](const std::string& line) {
            return output_of("env HOME=" + scratch.path().string() + " fish --no-config -c 'source " +
                             script + "; complete -C \"" + line + "\"'");
        };
        CHECK_THAT(offers("divs tr"), ContainsSubstring("train\tTrain a model"));
        CHECK_THAT(offers("divs train --thr"), ContainsSubstring("--throttle\t"));
        CHECK_THAT(offers("divs eval --split t"), ContainsSubstring("train") && ContainsSubstring("test"));
        CHECK_THAT(offers("divs bench re"), ContainsSubstring("restart\t"));
        CHECK_THAT(offers("divs bench restart --ro"), ContainsSubstring("--rounds\t"));
    }
}
