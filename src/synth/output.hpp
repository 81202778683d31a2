// The data set's folder and tables.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "divs/synth/plan.hpp"

namespace divs::synth {

struct TableRow {
    std::string path, label, split, group;
    double start = 0, end = -1;  // end < 0: the whole file
};

// Makes the folder; empties it of what an earlier run made. ConfigError where it holds anything else and not
// `force`.
void prepare_folder(const std::filesystem::path& out, const SynthOptions& options);
// dataset.toml; its first line is the mark by which prepare_folder() knows a folder of ours.
void write_descriptor(const std::filesystem::path& out, const SynthOptions& options);
void write_table(const std::filesystem::path& out, const std::vector<TableRow>& rows);

}  // namespace divs::synth
