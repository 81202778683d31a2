#include "convolution_cache.hpp"

#include <fstream>
#include <nlohmann/json.hpp>

#include "divs/core/error.hpp"
#include "divs/core/log.hpp"
#include "divs/io/atomic_file.hpp"

namespace divs::nn::cuda {
namespace {

constexpr const char* kind = "divs convolution choices";

}  // namespace

ConvCache::ConvCache(std::filesystem::path file, std::string machine)
    : file_(std::move(file)), machine_(std::move(machine)) {
    read();
}

void ConvCache::read() {
    if (file_.empty()) return;
    std::ifstream stream(file_);
    std::string line;
    if (!std::getline(stream, line)) return;
    const auto header = nlohmann::json::parse(line, nullptr, false);
    if (!header.is_object() || header.value("kind", nlohmann::json()) != kind ||
        header.value("machine", nlohmann::json()) != machine_)
        return;
    while (std::getline(stream, line)) {
        const auto choice = nlohmann::json::parse(line, nullptr, false);
        if (!choice.is_object() || !choice.contains("problem") || !choice.contains("algorithm")) continue;
        if (!choice["problem"].is_string() || !choice["algorithm"].is_string()) continue;
        choices_.emplace(choice["problem"].get<std::string>(), choice["algorithm"].get<std::string>());
    }
}

std::optional<std::string> ConvCache::find(const std::string& key) const {
    const auto found = choices_.find(key);
    return found == choices_.end() ? std::nullopt : std::optional(found->second);
}

void ConvCache::add(const std::string& key, const std::string& algorithm) {
    choices_[key] = algorithm;
    if (file_.empty() || !writable_) return;
    read();  // keeps what is here already
    std::string text = nlohmann::json{{"kind", kind}, {"machine", machine_}}.dump() + "\n";
    for (const auto& [problem, name] : choices_)
        text += nlohmann::json{{"problem", problem}, {"algorithm", name}}.dump() + "\n";
    try {
        if (file_.has_parent_path()) io::make_folder(file_.parent_path());
        io::write_atomically(file_, text);
    } catch (const Error& error) {
        writable_ = false;
        log::warn("choices of convolution algorithms are not kept: {}", error.what());
    }
}

}  // namespace divs::nn::cuda
