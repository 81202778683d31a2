#include "divs/video/dataset.hpp"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <cstdlib>

#include "divs/core/config.hpp"
#include "divs/core/error.hpp"
#include "labels.hpp"

namespace divs::video {
namespace fs = std::filesystem;
namespace {

const std::vector<std::string> known_keys{"name", "root", "labels", "classes"};

// A descriptor being read; its errors name file, line and key.
class Descriptor {
  public:
    explicit Descriptor(const fs::path& file) : file_(file) {
        const std::string text = read_utf8_file(file, "a data set's descriptor");
        try {
            table_ = toml::parse(text);
        } catch (const toml::parse_error& e) {
            throw_error<ConfigError>("{}:{}:{}: {}", file.string(), e.source().begin.line,
                                     e.source().begin.column, e.description());
        }
        for (const auto& [key, node] : table_) {
            const std::string name(key.str());
            if (std::find(known_keys.begin(), known_keys.end(), name) != known_keys.end()) continue;
            const std::string near = nearest(name, known_keys);
            fail(node,
                 fmt::format("unknown key \"{}\", {}", name,
                             near.empty() ? fmt::format("expected one of {}", fmt::join(known_keys, ", "))
                                          : fmt::format("did you mean \"{}\"?", near)));
        }
    }

    std::string text(const char* key, const std::string& fallback) const {
        const toml::node* node = table_.get(key);
        if (!node) return fallback;
        if (!node->is_string()) fail(*node, fmt::format("{} is not a string", key));
        const std::string value = node->ref<std::string>();
        if (value.empty()) fail(*node, fmt::format("{} is empty", key));
        return expanded(value, key, *node);
    }

    std::vector<std::string> classes() const {
        std::vector<std::string> names;
        const toml::node* node = table_.get("classes");
        if (!node) return names;
        if (!node->is_array()) fail(*node, "classes is not an array of strings");
        for (const toml::node& item : *node->as_array()) {
            if (!item.is_string() || item.ref<std::string>().empty())
                fail(item, "classes has an entry that is no name");
            names.push_back(item.ref<std::string>());
            if (std::find(names.begin(), names.end() - 1, names.back()) != names.end() - 1)
                fail(item, fmt::format("class \"{}\" stands twice", names.back()));
        }
        if (names.empty()) fail(*node, "classes is empty; leave it out to take them from the table");
        return names;
    }

    [[noreturn]] void fail_key(const char* key, const std::string& why) const {
        const toml::node* node = table_.get(key);
        if (node) fail(*node, why);
        throw_error<ConfigError>("{}: {}", file_.string(), why);
    }

  private:
    [[noreturn]] void fail(const toml::node& node, const std::string& why) const {
        throw_error<ConfigError>("{}:{}: {}", file_.string(), node.source().begin.line, why);
    }

    // Puts in the environment variables that stand as ${NAME}.
    std::string expanded(const std::string& value, const char* key, const toml::node& node) const {
        std::string out;
        std::size_t at = 0;
        for (std::size_t open = value.find("${"); open != std::string::npos; open = value.find("${", at)) {
            const std::size_t close = value.find('}', open);
            if (close == std::string::npos) fail(node, fmt::format("{}: \"${{\" without \"}}\"", key));
            const std::string name = value.substr(open + 2, close - open - 2);
            const char* found = std::getenv(name.c_str());
            if (!found || !*found)
                fail(node, fmt::format("{} needs the environment variable {}, which is not set", key, name));
            out += value.substr(at, open - at) + found;
            at = close + 1;
        }
        return out + value.substr(at);
    }

    const fs::path file_;
    toml::table table_;
};

fs::path folder_of(const fs::path& file) {
    return file.has_parent_path() ? file.parent_path() : fs::path(".");
}

Dataset read_table(std::string name, const fs::path& root, const fs::path& labels,
                   const std::vector<std::string>& classes) {
    LabelTable table = read_labels(labels, root, classes);
    return {std::move(name), fs::canonical(root), std::move(table.classes), std::move(table.files),
            std::move(table.rows)};
}

Dataset read_descriptor(const fs::path& file) {
    const Descriptor descriptor(file);
    const fs::path folder = folder_of(file);
    fs::path root = descriptor.text("root", ".");
    if (root.is_relative()) root = folder / root;
    std::error_code failed;
    if (!fs::is_directory(root, failed))
        descriptor.fail_key("root", fmt::format("root {} is not a folder that can be read", root.string()));
    const std::string labels = descriptor.text("labels", "labels.tsv");
    // In the data set, or beside the descriptor where the footage must stay as it is.
    fs::path base = root;
    if (!fs::exists(root / labels, failed) && fs::exists(folder / labels, failed)) base = folder;
    if (const std::string why = why_outside(fs::canonical(base), labels); !why.empty())
        descriptor.fail_key("labels", fmt::format("labels \"{}\" {}", labels, why));
    return read_table(descriptor.text("name", file.stem().string()), root, base / labels,
                      descriptor.classes());
}

}  // namespace

std::string_view split_name(Split split) noexcept {
    constexpr std::string_view names[] = {"train", "val", "test"};
    return names[static_cast<std::size_t>(split)];
}

Dataset read_dataset(const fs::path& descriptor) {
    std::error_code failed;
    if (!fs::is_directory(descriptor, failed)) return read_descriptor(descriptor);
    if (fs::exists(descriptor / "dataset.toml", failed)) return read_descriptor(descriptor / "dataset.toml");
    if (!fs::exists(descriptor / "labels.tsv", failed))
        throw_error<InputError>("{}: has neither dataset.toml nor labels.tsv, expected a data set",
                                descriptor.string());
    return read_table(fs::canonical(descriptor).filename().string(), descriptor, descriptor / "labels.tsv",
                      {});
}

}  // namespace divs::video
