#include "labels.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <iterator>
#include <optional>
#include <set>
#include <unordered_map>

#include "divs/core/config.hpp"
#include "divs/core/error.hpp"

namespace divs::video {
namespace fs = std::filesystem;
namespace {

const std::vector<std::string> known_columns{"path", "label", "split", "start", "end", "group"};
const std::vector<std::string> known_splits{"train", "val", "test"};

bool is_utf8(std::string_view text) {
    std::size_t i = 0;
    while (i < text.size()) {
        const auto lead = static_cast<unsigned char>(text[i]);
        const std::size_t length = lead < 0x80   ? 1
                                   : lead < 0xC2 ? 0
                                   : lead < 0xE0 ? 2
                                   : lead < 0xF0 ? 3
                                   : lead < 0xF5 ? 4
                                                 : 0;
        if (length == 0 || i + length > text.size()) return false;
        for (std::size_t k = 1; k < length; ++k)
            if ((static_cast<unsigned char>(text[i + k]) & 0xC0) != 0x80) return false;
        i += length;
    }
    return true;
}

std::string_view trimmed(std::string_view text) {
    while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
    while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
    return text;
}

std::string hint(std::string_view word, const std::vector<std::string>& known) {
    const std::string near = nearest(word, known);
    return near.empty() ? fmt::format("expected one of {}", fmt::join(known, ", "))
                        : fmt::format("did you mean \"{}\"?", near);
}

class TableReader {
  public:
    TableReader(const fs::path& table, const fs::path& root, const std::vector<std::string>& classes)
        : name_(table.string()),
          root_(fs::canonical(root)),
          classes_(classes),
          text_(read_utf8_file(table, "a table of labels")) {}

    LabelTable read() {
        for (auto fields = next_line(); fields; fields = next_line()) {
            if (column_.empty())
                read_header(*fields);
            else
                read_row(*fields);
        }
        if (column_.empty()) fail("empty, expected a header with path, label and split");
        if (table_.rows.empty()) fail("no rows below the header");
        number_labels();
        check_intervals();
        check_groups();
        return std::move(table_);
    }

  private:
    using Fields = std::vector<std::string_view>;

    [[noreturn]] void fail_at(std::size_t line, const std::string& why) const {
        throw_error<InputError>("{}:{}: {}", name_, line, why);
    }
    [[noreturn]] void fail(const std::string& why) const { fail_at(line_, why); }

    // The fields of the next line that is not blank and no comment.
    std::optional<Fields> next_line() {
        while (at_ < text_.size()) {
            const std::size_t end = std::min(text_.find('\n', at_), text_.size());
            std::string_view line(text_.data() + at_, end - at_);
            at_ = end + 1;
            ++line_;
            if (line.ends_with('\r')) line.remove_suffix(1);
            if (line_ == 1 && line.starts_with("\xEF\xBB\xBF")) line.remove_prefix(3);  // a byte order mark
            if (trimmed(line).empty() || line.front() == '#') continue;
            return split_at_tabs(line);
        }
        return std::nullopt;
    }

    static Fields split_at_tabs(std::string_view line) {
        Fields fields;
        for (;;) {
            const std::size_t tab = line.find('\t');
            fields.push_back(line.substr(0, tab));
            if (tab == std::string_view::npos) return fields;
            line.remove_prefix(tab + 1);
        }
    }

    void read_header(const Fields& fields) {
        for (std::size_t i = 0; i < fields.size(); ++i) {
            const std::string column(trimmed(fields[i]));
            if (std::find(known_columns.begin(), known_columns.end(), column) == known_columns.end())
                fail(fmt::format("unknown column \"{}\", {}", column, hint(column, known_columns)));
            if (!column_.emplace(column, i).second) fail(fmt::format("column \"{}\" stands twice", column));
        }
        for (const char* column : {"path", "label", "split"})
            if (!column_.contains(column))
                fail(fmt::format("column \"{}\" is missing (columns are separated by tabs)", column));
        if (column_.contains("start") != column_.contains("end"))
            fail("columns \"start\" and \"end\" come together: one is missing");
        columns_ = fields.size();
    }

    std::string_view field(const Fields& fields, const char* column) const {
        const auto found = column_.find(column);
        return found == column_.end() ? std::string_view{} : fields[found->second];
    }

    void read_row(const Fields& fields) {
        if (fields.size() != columns_)
            fail(fmt::format("{} fields, expected {} as in the header (separated by tabs)", fields.size(),
                             columns_));
        LabelRow row;
        row.file = file_number(std::string(field(fields, "path")));
        const std::string_view label = trimmed(field(fields, "label"));
        if (label.empty()) fail("the label is empty");
        if (!classes_.empty() && std::find(classes_.begin(), classes_.end(), label) == classes_.end())
            fail(fmt::format("unknown class \"{}\", {}", label, hint(label, classes_)));
        row.split = split_of(trimmed(field(fields, "split")));
        row.start = seconds(trimmed(field(fields, "start")), "start", 0);
        row.end = seconds(trimmed(field(fields, "end")), "end", -1);
        if (row.end >= 0 && row.end <= row.start)
            fail(fmt::format("the interval [{}, {}) is empty: end must be after start", row.start, row.end));
        row.group = trimmed(field(fields, "group"));
        if (row.group.empty()) row.group = table_.files[row.file];
        table_.rows.push_back(std::move(row));
        labels_.emplace_back(label);
        lines_.push_back(line_);
    }

    std::uint32_t file_number(const std::string& path) {
        if (path.empty()) fail("the path is empty");
        const std::string why = why_outside(root_, path);
        if (!why.empty()) fail(fmt::format("path \"{}\" {}", path, why));
        const std::string clean = fs::path(path).lexically_normal().string();
        const auto [found, fresh] =
            file_numbers_.emplace(clean, static_cast<std::uint32_t>(table_.files.size()));
        if (fresh) table_.files.push_back(clean);
        return found->second;
    }

    Split split_of(std::string_view name) const {
        const auto found = std::find(known_splits.begin(), known_splits.end(), name);
        if (found == known_splits.end())
            fail(fmt::format("unknown split \"{}\", {}", name, hint(name, known_splits)));
        return static_cast<Split>(found - known_splits.begin());
    }

    double seconds(std::string_view text, const char* column, double fallback) const {
        if (text.empty()) return fallback;
        double value = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
        if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(value) || value < 0)
            fail(fmt::format("{} \"{}\", expected seconds from the start of the file, 0 or more", column,
                             text));
        return value;
    }

    void number_labels() {
        table_.classes = classes_;
        if (classes_.empty()) {
            const std::set<std::string_view> names(labels_.begin(), labels_.end());
            table_.classes.assign(names.begin(), names.end());
        }
        std::unordered_map<std::string_view, std::int32_t> number;
        for (const std::string& name : table_.classes)
            number.emplace(name, static_cast<std::int32_t>(number.size()));
        for (std::size_t i = 0; i < labels_.size(); ++i) table_.rows[i].label = number.at(labels_[i]);
    }

    // A file may stand in several rows only with intervals that do not overlap.
    void check_intervals() const {
        std::vector<std::size_t> order(table_.rows.size());
        for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
        std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
            const LabelRow &p = table_.rows[a], &q = table_.rows[b];
            return std::tie(p.file, p.start, a) < std::tie(q.file, q.start, b);
        });
        for (std::size_t i = 1; i < order.size(); ++i) {
            const LabelRow &before = table_.rows[order[i - 1]], &row = table_.rows[order[i]];
            if (before.file != row.file || (before.end >= 0 && before.end <= row.start)) continue;
            const std::size_t first = std::min(order[i - 1], order[i]),
                              second = std::max(order[i - 1], order[i]);
            fail_at(lines_[second], fmt::format("\"{}\" stands at line {} already, and the intervals overlap",
                                                table_.files[row.file], lines_[first]));
        }
    }

    void check_groups() const {
        std::unordered_map<std::string_view, std::size_t> first_row;
        for (std::size_t i = 0; i < table_.rows.size(); ++i) {
            const LabelRow& row = table_.rows[i];
            const auto [found, fresh] = first_row.emplace(row.group, i);
            const LabelRow& first = table_.rows[found->second];
            if (fresh || first.split == row.split) continue;
            fail_at(lines_[i],
                    fmt::format(
                        "group \"{}\" is in split {}, but in {} at line {}: splits never share a group",
                        row.group, split_name(row.split), split_name(first.split), lines_[found->second]));
        }
    }

    const std::string name_;
    const fs::path root_;
    const std::vector<std::string>& classes_;
    const std::string text_;
    std::size_t at_ = 0, line_ = 0, columns_ = 0;
    std::unordered_map<std::string, std::size_t> column_;  // name -> position
    std::unordered_map<std::string, std::uint32_t> file_numbers_;
    LabelTable table_;
    std::vector<std::string> labels_;  // parallel to the rows
    std::vector<std::size_t> lines_;   // parallel to the rows
};

}  // namespace

std::string read_utf8_file(const fs::path& file, std::string_view what) {
    std::error_code failed;
    const fs::file_status status = fs::status(file, failed);
    if (!fs::exists(status)) throw_error<InputError>("{}: does not exist, expected {}", file.string(), what);
    if (!fs::is_regular_file(status))
        throw_error<InputError>("{}: is not a file, expected {}", file.string(), what);
    std::ifstream in(file, std::ios::binary);
    if (!in) throw_error<InputError>("{}: cannot be opened, expected {}", file.string(), what);
    std::string text{std::istreambuf_iterator<char>(in), {}};
    if (in.bad()) throw_error<InputError>("{}: cannot be read", file.string());
    if (is_utf8(text) && text.find('\0') == std::string::npos) return text;
    std::size_t line = 1, from = 0;
    for (std::size_t end = text.find('\n'); end != std::string::npos;
         from = end + 1, end = text.find('\n', from), ++line)
        if (const auto part = std::string_view(text).substr(from, end - from);
            !is_utf8(part) || part.find('\0') != std::string_view::npos)
            break;
    throw_error<InputError>("{}:{}: not UTF-8 text, expected {}", file.string(), line, what);
}

std::string why_outside(const fs::path& root, const std::string& relative) {
    const fs::path path(relative);
    if (path.is_absolute()) return "is absolute, expected one relative to the root of the data set";
    for (const fs::path& part : path)
        if (part == "..") return "has \"..\" in it: nothing outside the root of the data set is read";
    std::error_code failed;
    const fs::path real = fs::weakly_canonical(root / path, failed);
    if (failed) return "cannot be followed: " + failed.message();
    const auto [end, inside] = std::mismatch(root.begin(), root.end(), real.begin(), real.end());
    if (end != root.end()) return "leads out of the root of the data set, by a symbolic link";
    return inside == real.end() ? "is the root of the data set, expected a file in it" : "";
}

LabelTable read_labels(const fs::path& table, const fs::path& root, const std::vector<std::string>& classes) {
    return TableReader(table, root, classes).read();
}

}  // namespace divs::video
