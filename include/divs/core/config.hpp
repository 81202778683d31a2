// Configuration: one TOML file, overridden by `--set section.key=value`, read through typed look-ups.
//
// A room reads its section with `Section` and states each key with its default; when all rooms have read, finish()
// rejects every key that nobody asked for and suggests the nearest one that somebody did. The effective values, the
// defaults included, are kept for checkpoints and reports.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace divs {

class Section;

class Config {
  public:
    Config();  // empty: every value is its default
    // Reads the file, then applies "section.key=value" overrides. A value is TOML; a bare word is a string.
    // Throws ConfigError with file, line and column on bad syntax, InputError when the file cannot be read.
    explicit Config(const std::filesystem::path& file, const std::vector<std::string>& overrides = {});
    // The same from text, for tests and checkpoints; `origin` stands in messages.
    static Config from_text(std::string_view text, std::string_view origin = "config",
                            const std::vector<std::string>& overrides = {});
    ~Config();
    Config(Config&&) noexcept;
    Config& operator=(Config&&) noexcept;

    Section section(std::string_view name);

    // Throws ConfigError when the file holds a section or key that was never asked for.
    void finish() const;

    // "section.key" -> TOML text of the value in force, for all keys asked for so far.
    const std::map<std::string, std::string>& effective() const;
    // The effective values as one TOML document.
    std::string to_toml() const;

    // The folder that relative paths in the file start from (the file's own folder; "." without a file).
    const std::filesystem::path& folder() const;

  private:
    friend class Section;
    struct State;
    std::unique_ptr<State> state_;
};

// Typed look-ups in one section. Each throws ConfigError naming "section.key" when the type or range is wrong.
class Section {
  public:
    bool get(std::string_view key, bool fallback) const;
    std::int64_t get(std::string_view key, std::int64_t fallback, std::int64_t low = INT64_MIN,
                     std::int64_t high = INT64_MAX) const;
    int get(std::string_view key, int fallback, int low = INT32_MIN, int high = INT32_MAX) const;
    double get(std::string_view key, double fallback, double low = -1e300, double high = 1e300) const;
    std::string get(std::string_view key, const std::string& fallback) const;
    std::string get(std::string_view key, const char* fallback) const { return get(key, std::string(fallback)); }
    // One of `choices`; a near miss is suggested.
    std::string choice(std::string_view key, std::string_view fallback, const std::vector<std::string>& choices) const;
    std::vector<std::string> strings(std::string_view key, const std::vector<std::string>& fallback) const;
    std::vector<double> numbers(std::string_view key, const std::vector<double>& fallback,
                                double low = -1e300,
                                double high = 1e300) const;  // the range of each
    // A path, made relative to the configuration's folder unless absolute; empty stays empty.
    std::filesystem::path path(std::string_view key, const std::string& fallback) const;
    // One such path, or an array of them; an empty one is none.
    std::vector<std::filesystem::path> paths(std::string_view key) const;
    bool has(std::string_view key) const;

  private:
    std::filesystem::path resolve(const std::filesystem::path& path) const;

    friend class Config;
    Section(Config::State* state, std::string name) : state_(state), name_(std::move(name)) {}
    Config::State* state_;
    std::string name_;
};

// The entry of `known` nearest to `word` by edit distance, if it is near enough to be a typo; else empty.
std::string nearest(std::string_view word, const std::vector<std::string>& known);

}  // namespace divs
