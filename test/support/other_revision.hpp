// The program as if it were built from another revision.
#pragma once

#include <filesystem>
#include <stdexcept>
#include <string>

#include "support/process.hpp"

namespace divs::test {

// The revision that a program names.
inline std::string revision_of(const std::string& program) {
    const std::string version = run_command(program + " --version").out, key = ", revision ";
    const auto begin = version.find(key);
    if (begin == std::string::npos) throw std::runtime_error(program + " names no revision");
    return version.substr(begin + key.size(), version.find('\n') - begin - key.size());
}

// Writes it there, and gives the revision that it names.
inline std::string write_other_revision(const std::filesystem::path& file) {
    // Eight characters at once: so long are the pieces in which a compiler may keep a short text.
    const std::string whole = revision_of(DIVS_PROGRAM), mine = whole.substr(0, 8), changed(mine.size(), '9');
    std::string program = read_text(DIVS_PROGRAM);
    for (auto at = program.find(mine); at != std::string::npos; at = program.find(mine, at))
        program.replace(at, mine.size(), changed);
    write_text(file, program);
    std::filesystem::permissions(file, std::filesystem::perms::owner_all);
    const std::string other = revision_of(file.string());
    if (other == whole) throw std::runtime_error("the program could not be changed");
    return other;
}

}  // namespace divs::test
