#include "divs/doctor/doctor.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "checks.hpp"
#include "divs/core/build_info.hpp"
#include "divs/core/units.hpp"
#include "divs/train/job.hpp"

namespace divs::doctor {
namespace {

using Json = nlohmann::json;

std::span<const std::byte> bytes_of(const std::string& text) {
    return std::as_bytes(std::span(text));
}

Json parse(std::span<const std::byte> bytes) {
    return Json::parse(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

Json to_json(const Finding& f) {
    return {{"level", level_name(f.level)},
            {"topic", f.topic},
            {"text", f.text},
            {"advice", f.advice},
            {"ranks", f.ranks}};
}

Finding from_json(const Json& json) {
    Finding f;
    const std::string level = json.at("level");
    f.level = level == "error" ? Level::error : level == "warning" ? Level::warning : Level::ok;
    f.topic = json.at("topic");
    f.text = json.at("text");
    f.advice = json.at("advice");
    return f;
}

// One finding where several ranks say the same, in the order in which the topics come up first.
std::vector<Finding> merge(const std::vector<std::vector<Finding>>& ranks) {
    std::vector<Finding> merged;
    for (std::size_t rank = 0; rank < ranks.size(); ++rank)
        for (const Finding& finding : ranks[rank]) {
            const auto same = [&](const Finding& other) {
                return other.level == finding.level && other.topic == finding.topic &&
                       other.text == finding.text;
            };
            auto found = std::find_if(merged.begin(), merged.end(), same);
            if (found == merged.end()) {
                // Behind the last of its topic.
                const auto last = std::find_if(merged.rbegin(), merged.rend(), [&](const Finding& other) {
                    return other.topic == finding.topic;
                });
                found = merged.insert(last.base() == merged.begin() ? merged.end() : last.base(), finding);
            }
            found->ranks.push_back(static_cast<int>(rank));
        }
    return merged;
}

std::string lines(const std::string& text, std::size_t indent) {
    std::string out;
    for (const char c : text) {
        out += c;
        if (c == '\n') out += std::string(indent, ' ');
    }
    return out;
}

}  // namespace

const char* level_name(Level level) {
    return level == Level::error ? "error" : level == Level::warning ? "warning" : "ok";
}

std::vector<Json> gather(comm::World& world, const Json& mine) {
    std::vector<Json> all;
    for (const auto& bytes :
         world.gather(bytes_of(mine.dump(-1, ' ', false, Json::error_handler_t::replace)), 0, "findings"))
        all.push_back(parse(bytes));
    return all;
}

Json broadcast(comm::World& world, const Json& of_root) {
    const std::string text = of_root.dump();
    const auto bytes = bytes_of(text);
    return parse(world.broadcast(std::vector<std::byte>(bytes.begin(), bytes.end()), 0, "findings"));
}

std::string ranges_text(std::vector<int> numbers) {
    std::sort(numbers.begin(), numbers.end());
    std::string out;
    for (std::size_t i = 0; i < numbers.size();) {
        std::size_t end = i + 1;
        while (end < numbers.size() && numbers[end] <= numbers[end - 1] + 1) ++end;
        out += (out.empty() ? "" : ",") + std::to_string(numbers[i]);
        if (end > i + 1) out += fmt::format("-{}", numbers[end - 1]);
        i = end;
    }
    return out;
}

int Diagnosis::count(Level level) const {
    return static_cast<int>(
        std::count_if(findings.begin(), findings.end(), [&](const Finding& f) { return f.level == level; }));
}

std::string Diagnosis::text() const {
    constexpr std::size_t indent = 28;
    std::string out;
    for (const Finding& f : findings) {
        std::string where;
        if (hosts.size() > 1 && f.ranks.size() < hosts.size() && f.level != Level::ok)
            where = fmt::format(" (rank {})", ranges_text(f.ranks));
        out += fmt::format("{:<9}{:<19}{}{}\n", level_name(f.level), f.topic, lines(f.text, indent), where);
        if (!f.advice.empty()) out += fmt::format("{:{}}-> {}\n", "", indent, lines(f.advice, indent + 3));
    }
    const auto counted = [&](Level level, std::string_view noun) {
        return count_text(static_cast<std::size_t>(count(level)), noun);
    };
    return out + fmt::format("{}, {}, {}\n", count_text(hosts.size(), "rank"), counted(Level::error, "error"),
                             counted(Level::warning, "warning"));
}

std::string Diagnosis::json() const {
    const BuildInfo build = build_info();
    nlohmann::ordered_json out{{"divs", {{"version", build.version}, {"revision", build.revision}}},
                               {"ranks", hosts.size()},
                               {"hosts", hosts},
                               {"errors", count(Level::error)},
                               {"warnings", count(Level::warning)},
                               {"figures", figures},
                               {"findings", nlohmann::ordered_json::array()}};
    for (const Finding& finding : findings) out["findings"].push_back(nlohmann::ordered_json(to_json(finding)));
    return out.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Diagnosis examine(comm::World& world, const Examination& examination) {
    const train::ModelSettings model =
        examination.settings ? examination.settings->model : train::ModelSettings{};
    Patient patient{world, examination, train::compute_threads(world, model),
                    examination.settings ? examination.settings->data.decode_threads : 1};
    Notes notes;
    for (const auto check : {check_program, check_launch, check_cores, check_gpus, check_video, check_storage,
                             check_data, check_model, check_network})
        check(patient, notes);

    Json mine{{"host", world.host()}, {"figures", notes.figures}, {"findings", Json::array()}};
    for (const Finding& finding : notes.findings) mine["findings"].push_back(to_json(finding));
    Diagnosis diagnosis;
    std::vector<std::vector<Finding>> findings;
    for (const Json& rank : gather(world, mine)) {
        diagnosis.hosts.push_back(rank.at("host"));
        findings.emplace_back();
        for (const Json& finding : rank.at("findings")) findings.back().push_back(from_json(finding));
    }
    if (!patient.is_root()) return {};
    diagnosis.figures = notes.figures;
    diagnosis.findings = merge(findings);
    return diagnosis;
}

}  // namespace divs::doctor
