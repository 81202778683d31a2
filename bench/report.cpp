#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iostream>

#include "bench.hpp"
#include "divs/core/build_info.hpp"
#include "divs/core/error.hpp"

namespace divs::bench {
namespace {

std::string cell_text(const nlohmann::json& cell) {
    if (cell.is_null()) return "-";
    if (cell.is_string()) return cell.get<std::string>();
    if (cell.is_number_float()) return fmt::format("{:.4g}", cell.get<double>());
    return cell.dump();
}

void print_table(const nlohmann::json& columns, const nlohmann::json& rows) {
    std::vector<std::size_t> widths;
    for (std::size_t c = 0; c < columns.size(); ++c) {
        widths.push_back(columns[c].get<std::string>().size());
        for (const auto& row : rows) widths[c] = std::max(widths[c], cell_text(row[c]).size());
    }
    auto print = [&](const nlohmann::json& cells) {
        std::string line;
        for (std::size_t c = 0; c < cells.size(); ++c)
            line += cells[c].is_number() ? fmt::format("{:>{}}  ", cell_text(cells[c]), widths[c])
                                         : fmt::format("{:<{}}  ", cell_text(cells[c]), widths[c]);
        line.erase(line.find_last_not_of(' ') + 1);
        std::cout << line << '\n';
    };
    print(columns);
    for (const auto& row : rows) print(row);
}

}  // namespace

double median(std::vector<double> values) {
    if (values.empty()) return 0;
    std::sort(values.begin(), values.end());
    const std::size_t half = values.size() / 2;
    return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

std::vector<double> interleaved(int rounds, int warm_up, const std::vector<std::function<double()>>& candidates) {
    std::vector<std::vector<double>> values(candidates.size());
    for (int round = 0; round < rounds + warm_up; ++round)
        for (std::size_t i = 0; i < candidates.size(); ++i) {
            const double value = candidates[i]();
            if (round >= warm_up) values[i].push_back(value);
        }
    std::vector<double> medians;
    for (auto& v : values) medians.push_back(median(std::move(v)));
    return medians;
}

Report::Report(std::string benchmark, std::vector<std::string> columns) {
    const BuildInfo build = build_info();
    json_ = {{"benchmark", std::move(benchmark)},
             {"versions", {{"divs", build.version}, {"revision", build.revision}, {"compiler", build.compiler},
                           {"build_type", build.build_type}}},
             {"columns", std::move(columns)},
             {"rows", nlohmann::json::array()},
             {"figures", nlohmann::json::array()},
             {"notes", nlohmann::json::array()}};
    for (const auto& [key, value] : machine_info()) json_["machine"][key] = value;
}

void Report::row(std::vector<nlohmann::json> cells) {
    if (cells.size() != json_["columns"].size())
        throw_error<Error>("a row of {} cells in a table of {} columns", cells.size(), json_["columns"].size());
    json_["rows"].push_back(std::move(cells));
}

void Report::figure(const std::string& name, double value, const std::string& unit) {
    json_["figures"].push_back({{"name", name}, {"value", value}, {"unit", unit}});
}

void Report::version(const std::string& name, const std::string& value) { json_["versions"][name] = value; }

void Report::keep(const std::string& key, nlohmann::json value) { json_[key] = std::move(value); }

void Report::note(const std::string& text) { json_["notes"].push_back(text); }

void Report::finish(const std::string& file) const {
    if (file == "-") {
        std::cout << json_.dump() << std::endl;
        return;
    }
    print_table(json_["columns"], json_["rows"]);
    for (const auto& figure : json_["figures"])
        std::cout << fmt::format("{} {:.4g} {}\n", figure["name"].get<std::string>(), figure["value"].get<double>(),
                                 figure["unit"].get<std::string>());
    for (const auto& note : json_["notes"]) std::cout << note.get<std::string>() << '\n';
    std::cout.flush();
    if (file.empty()) return;
    std::ofstream out(file);
    out << json_.dump(2) << '\n';
    if (!out.flush()) throw_error<StorageError>("{}: the benchmark's JSON cannot be written", file);
}

}  // namespace divs::bench
