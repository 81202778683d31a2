#include "convolution_cache.hpp"

#include <fstream>
#include <nlohmann/json.hpp>

#include "divs/core/error.hpp"
#include "divs/core/log.hpp"
#include "divs/io/atomic_file.hpp"

namespace divs::nn::cuda {
namespace {

constexpr const char* file_kind = "divs convolution choices";

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
    if (!header.is_object() || header.value("kind", nlohmann::json()) != file_kind) return;
    while (std::getline(stream, line)) {
        const auto choice = nlohmann::json::parse(line, nullptr, false);
        const auto text = [&](const char* name) {
            const auto field = choice.is_object() ? choice.value(name, nlohmann::json()) : nlohmann::json();
            return field.is_string() ? field.get<std::string>() : std::string();
        };
        if (const auto machine = text("machine"), algorithm = text("algorithm");
            !machine.empty() && !algorithm.empty())
            choices_.emplace(std::pair(machine, text("problem")), algorithm);
    }
}

std::optional<std::string> ConvCache::find(const std::string& key) const {
    const auto found = choices_.find({machine_, key});
    return found == choices_.end() ? std::nullopt : std::optional(found->second);
}

void ConvCache::add(const std::string& key, const std::string& algorithm) {
    choices_[{machine_, key}] = algorithm;
    if (file_.empty() || !writable_) return;
    read();  // keeps what is here already
    std::string text = nlohmann::json{{"kind", file_kind}}.dump() + "\n";
    for (const auto& [of, name] : choices_)
        text +=
            nlohmann::json{{"machine", of.first}, {"problem", of.second}, {"algorithm", name}}.dump() + "\n";
    try {
        if (file_.has_parent_path()) io::make_folder(file_.parent_path());
        io::write_atomically(file_, text);
    } catch (const Error& error) {
        writable_ = false;
        log::warn("choices of convolution algorithms are not kept: {}", error.what());
    }
}

}  // namespace divs::nn::cuda
