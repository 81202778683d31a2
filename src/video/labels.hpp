// The table of labels: tab-separated text with a header.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "divs/video/dataset.hpp"

namespace divs::video {

struct LabelTable {
    std::vector<std::string> files;    // relative to the root, in the order of the table, each once
    std::vector<std::string> classes;  // as given, or sorted by name
    std::vector<LabelRow> rows;
};

// Columns, in any order: path, label, split; optional start and end, and group. `classes`: the only labels
// allowed, in their order; empty: the labels that the table has. InputError with file and line for everything
// that is wrong.
LabelTable read_labels(const std::filesystem::path& table, const std::filesystem::path& root,
                       const std::vector<std::string>& classes);

// The whole file. InputError where it is missing, a folder, unreadable, or not UTF-8.
std::string read_utf8_file(const std::filesystem::path& file, std::string_view what);

// Whether `relative` stays in `root` whatever it says: no absolute path, no "..", no symbolic link that leads
// out. Gives the reason why not; empty when it does. `root` is canonical.
std::string why_outside(const std::filesystem::path& root, const std::string& relative);

}  // namespace divs::video
