#include "divs/core/config.hpp"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <fstream>
#include <numeric>
#include <sstream>
#include <utility>

#include "divs/core/error.hpp"

namespace divs {

struct Config::State {
    toml::table table;
    std::string origin = "config";
    std::filesystem::path folder = ".";
    std::map<std::string, std::string> effective;  // "section.key" -> TOML text

    const toml::node* find(const std::string& section, std::string_view key) const {
        const toml::table* in = section.empty() ? &table : table[section].as_table();
        return in ? in->get(key) : nullptr;
    }

    // Where a value stands: "file:line", or on the command line.
    std::string place(const toml::node& node) const {
        const auto line = node.source().begin.line;
        return line > 0 ? fmt::format("{}:{}", origin, line) : "--set";
    }

    [[noreturn]] void wrong_type(const std::string& section, std::string_view key, const toml::node& node,
                                 std::string_view expected) const {
        std::ostringstream type;
        type << node.type();
        throw_error<ConfigError>("{}: {}.{} is of type {}, expected {}", place(node), section, key, type.str(), expected);
    }

    template <class T>
    void require_range(const std::string& section, std::string_view key, const toml::node& node, T value, T low,
                       T high) const {
        if (!(value >= low && value <= high))  // nor may it be no number
            throw_error<ConfigError>("{}: {}.{} = {}, expected {} to {}", place(node), section, key, value, low, high);
    }
};

namespace {

std::string read_text(const std::filesystem::path& file) {
    std::error_code ignored;
    if (std::filesystem::is_directory(file, ignored))
        throw_error<InputError>("{}: is a folder, expected a configuration file", file.string());
    if (std::filesystem::exists(file, ignored) && !std::filesystem::is_regular_file(file, ignored))
        throw_error<InputError>("{}: is no regular file, expected a configuration file",
                                file.string());  // a pipe
    std::ifstream in(file, std::ios::binary);
    if (!in) throw_error<InputError>("{}: cannot be opened, expected a configuration file", file.string());
    return {std::istreambuf_iterator<char>(in), {}};
}

toml::table parse(std::string_view text, std::string_view origin) {
    try {
        return toml::parse(text, origin);
    } catch (const toml::parse_error& e) {
        throw_error<ConfigError>("{}:{}:{}: {}", origin, e.source().begin.line, e.source().begin.column,
                                 e.description());
    }
}

// Puts "a.b=value" into the table. A value that is no TOML is a string.
void apply_override(toml::table& table, const std::string& text) {
    const auto equals = text.find('=');
    const auto dot = text.find('.');
    if (equals == std::string::npos || dot == std::string::npos || dot > equals || dot == 0 || dot + 1 == equals)
        throw_error<ConfigError>("--set {}: expected section.key=value", text);
    const std::string section = text.substr(0, dot), key = text.substr(dot + 1, equals - dot - 1);
    const std::string value = text.substr(equals + 1);
    toml::table parsed;
    try {
        parsed = toml::parse("value = " + value);
    } catch (const toml::parse_error&) {
        parsed.insert_or_assign("value", value);
    }
    if (!table[section].as_table()) table.insert_or_assign(section, toml::table{});
    parsed["value"].visit([&](auto& node) {
        if constexpr (!std::is_same_v<std::remove_cvref_t<decltype(node)>, toml::node>)
            table[section].as_table()->insert_or_assign(key, node);
    });
}

std::size_t edit_distance(std::string_view a, std::string_view b) {  // Levenshtein
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 1; i <= a.size(); ++i) {
        std::size_t diagonal = std::exchange(row[0], i);
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t above = row[j];
            row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1] ? 1 : 0)});
            diagonal = above;
        }
    }
    return row.back();
}

}  // namespace

std::string nearest(std::string_view word, const std::vector<std::string>& known) {
    std::string best;
    std::size_t distance = std::max<std::size_t>(2, word.size() / 3) + 1;
    for (const auto& candidate : known) {
        const std::size_t d = edit_distance(word, candidate);
        if (d < distance) {
            distance = d;
            best = candidate;
        }
    }
    return best;
}

Config::Config() : state_(std::make_unique<State>()) {}
Config::~Config() = default;
Config::Config(Config&&) noexcept = default;
Config& Config::operator=(Config&&) noexcept = default;

Config::Config(const std::filesystem::path& file, const std::vector<std::string>& overrides)
    : Config(from_text(read_text(file), file.string(), overrides)) {
    state_->folder = file.has_parent_path() ? file.parent_path() : std::filesystem::path(".");
}

Config Config::from_text(std::string_view text, std::string_view origin, const std::vector<std::string>& overrides) {
    Config config;
    config.state_->origin = origin;
    config.state_->table = parse(text, origin);
    for (const auto& entry : overrides) apply_override(config.state_->table, entry);
    return config;
}

Section Config::section(std::string_view name) { return Section(state_.get(), std::string(name)); }

void Config::finish() const {
    std::vector<std::string> known;
    for (const auto& [key, value] : state_->effective) known.push_back(key);
    auto reject = [&](const std::string& key, const toml::node& node) {
        const std::string near = nearest(key, known);
        throw_error<ConfigError>("{}: unknown key \"{}\"{}", state_->place(node), key,
                                 near.empty() ? "" : fmt::format(", did you mean \"{}\"?", near));
    };
    for (const auto& [section, node] : state_->table) {
        const auto* table = node.as_table();
        if (!table) reject(std::string(section.str()), node);
        for (const auto& [key, value] : *table) {
            const std::string full = std::string(section.str()) + "." + std::string(key.str());
            if (!state_->effective.contains(full)) reject(full, value);
        }
    }
}

const std::map<std::string, std::string>& Config::effective() const { return state_->effective; }
const std::filesystem::path& Config::folder() const { return state_->folder; }

std::string Config::to_toml() const {
    std::string out, section;
    for (const auto& [key, value] : state_->effective) {
        const auto dot = key.find('.');
        if (out.empty() || key.substr(0, dot) != section) {
            section = key.substr(0, dot);
            out += fmt::format("{}[{}]\n", out.empty() ? "" : "\n", section);
        }
        out += fmt::format("{} = {}\n", key.substr(dot + 1), value);
    }
    return out;
}

namespace {

template <class Node>
std::string toml_text(const Node& node) {  // with TOML's own quoting
    std::ostringstream text;
    text << node;
    return text.str();
}
std::string toml_text(double value) { return toml_text(toml::value<double>(value)); }
std::string toml_text(const std::string& value) { return toml_text(toml::value<std::string>(value)); }

}  // namespace

bool Section::has(std::string_view key) const { return state_->find(name_, key) != nullptr; }

bool Section::get(std::string_view key, bool fallback) const {
    bool value = fallback;
    if (const auto* node = state_->find(name_, key)) {
        if (!node->is_boolean()) state_->wrong_type(name_, key, *node, "true or false");
        value = node->ref<bool>();
    }
    state_->effective[name_ + "." + std::string(key)] = value ? "true" : "false";
    return value;
}

std::int64_t Section::get(std::string_view key, std::int64_t fallback, std::int64_t low, std::int64_t high) const {
    std::int64_t value = fallback;
    if (const auto* node = state_->find(name_, key)) {
        if (!node->is_integer()) state_->wrong_type(name_, key, *node, "a whole number");
        value = node->ref<std::int64_t>();
        state_->require_range(name_, key, *node, value, low, high);
    }
    state_->effective[name_ + "." + std::string(key)] = std::to_string(value);
    return value;
}

int Section::get(std::string_view key, int fallback, int low, int high) const {
    return static_cast<int>(get(key, std::int64_t{fallback}, std::int64_t{low}, std::int64_t{high}));
}

double Section::get(std::string_view key, double fallback, double low, double high) const {
    double value = fallback;
    if (const auto* node = state_->find(name_, key)) {
        if (!node->is_number()) state_->wrong_type(name_, key, *node, "a number");
        value = *node->value<double>();
        state_->require_range(name_, key, *node, value, low, high);
    }
    state_->effective[name_ + "." + std::string(key)] = toml_text(value);
    return value;
}

std::string Section::get(std::string_view key, const std::string& fallback) const {
    std::string value = fallback;
    if (const auto* node = state_->find(name_, key)) {
        if (!node->is_string()) state_->wrong_type(name_, key, *node, "a string");
        value = node->ref<std::string>();
    }
    state_->effective[name_ + "." + std::string(key)] = toml_text(value);
    return value;
}

std::string Section::choice(std::string_view key, std::string_view fallback,
                            const std::vector<std::string>& choices) const {
    const std::string value = get(key, std::string(fallback));
    if (std::find(choices.begin(), choices.end(), value) == choices.end()) {
        const auto* node = state_->find(name_, key);
        const std::string near = nearest(value, choices);
        throw_error<ConfigError>("{}: {}.{} = \"{}\", expected one of {}{}", node ? state_->place(*node) : "default", name_,
                                 key, value, fmt::join(choices, ", "),
                                 near.empty() ? "" : fmt::format("; did you mean \"{}\"?", near));
    }
    return value;
}

std::vector<std::string> Section::strings(std::string_view key, const std::vector<std::string>& fallback) const {
    std::vector<std::string> values = fallback;
    if (const auto* node = state_->find(name_, key)) {
        const auto* array = node->as_array();
        if (!array) state_->wrong_type(name_, key, *node, "an array of strings");
        values.clear();
        for (const auto& item : *array) {
            if (!item.is_string()) state_->wrong_type(name_, key, item, "an array of strings");
            values.push_back(item.ref<std::string>());
        }
    }
    toml::array all;
    for (const auto& value : values) all.push_back(value);
    state_->effective[name_ + "." + std::string(key)] = toml_text(all);
    return values;
}

std::vector<double> Section::numbers(std::string_view key, const std::vector<double>& fallback, double low,
                                     double high) const {
    std::vector<double> values = fallback;
    if (const auto* node = state_->find(name_, key)) {
        const auto* array = node->as_array();
        if (!array) state_->wrong_type(name_, key, *node, "an array of numbers");
        values.clear();
        for (const auto& item : *array) {
            if (!item.is_number()) state_->wrong_type(name_, key, item, "an array of numbers");
            values.push_back(*item.value<double>());
            state_->require_range(name_, key, item, values.back(), low, high);
        }
    }
    toml::array all;
    for (double value : values) all.push_back(value);
    state_->effective[name_ + "." + std::string(key)] = toml_text(all);
    return values;
}

std::filesystem::path Section::path(std::string_view key, const std::string& fallback) const {
    return resolve(get(key, fallback));
}

std::vector<std::filesystem::path> Section::paths(std::string_view key) const {
    const auto* node = state_->find(name_, key);
    const auto values = node && node->is_array() ? strings(key, {}) : std::vector{get(key, "")};
    std::vector<std::filesystem::path> paths;
    for (const auto& value : values)
        if (!value.empty()) paths.push_back(resolve(value));
    return paths;
}

std::filesystem::path Section::resolve(const std::filesystem::path& path) const {
    return path.empty() || path.is_absolute() ? path : (state_->folder / path).lexically_normal();
}

}  // namespace divs
