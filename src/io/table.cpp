#include "divs/io/table.hpp"

#include <algorithm>

#include "divs/core/error.hpp"

namespace divs::io {
namespace {

std::size_t width(std::string_view text) {  // in UTF-8 characters
    return static_cast<std::size_t>(std::count_if(
        text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

}  // namespace

Table::Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

void Table::row(std::vector<std::string> cells) {
    if (cells.size() > columns_.size())
        throw_error<Error>("table row of {} cells, expected at most {}", cells.size(), columns_.size());
    cells.resize(columns_.size());
    rows_.push_back(std::move(cells));
}

void Table::rule() {
    rows_.emplace_back();
}

std::string Table::text() const {
    std::vector<std::size_t> widths;
    for (std::size_t c = 0; c < columns_.size(); ++c) {
        std::size_t widest = width(columns_[c].name);
        for (const auto& row : rows_)
            if (!row.empty()) widest = std::max(widest, width(row[c]));
        widths.push_back(widest);
    }
    std::string out;
    const auto line = [&](const auto& cell) {
        std::string text;
        for (std::size_t c = 0; c < columns_.size(); ++c) {
            const std::string value = cell(c);
            const std::string padding(widths[c] - width(value), ' ');
            if (c) text += "  ";
            text += columns_[c].align == Align::right ? padding + value : value + padding;
        }
        text.erase(text.find_last_not_of(' ') + 1);
        out += text + "\n";
    };
    const auto rule = [&] { line([&](std::size_t c) { return std::string(widths[c], '-'); }); };
    line([&](std::size_t c) { return columns_[c].name; });
    rule();
    for (const auto& row : rows_) {
        if (row.empty())
            rule();
        else
            line([&](std::size_t c) { return row[c]; });
    }
    return out;
}

}  // namespace divs::io
