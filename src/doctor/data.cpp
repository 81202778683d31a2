// The configured data set: who sees its files, whether that agrees with scheduler.storage, and whether they
// can be read.
#include <fmt/format.h>
#include <sys/stat.h>

#include <set>

#include "checks.hpp"
#include "divs/core/error.hpp"
#include "divs/video/dataset.hpp"

namespace divs::doctor {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

// What one rank sees: the data set's own fault, or by file its size (-1: missing) and what tells copies
// apart.
Json look_at(const train::Settings& settings) {
    Json sizes = Json::array(), identities = Json::array();
    try {
        const video::Dataset dataset = video::read_dataset(settings.data.dataset);
        for (std::uint32_t file = 0; file < dataset.files.size(); ++file) {
            struct stat status {};
            const bool there = ::stat(dataset.path_of(file).c_str(), &status) == 0;
            sizes.push_back(there ? static_cast<std::int64_t>(status.st_size) : std::int64_t{-1});
            identities.push_back(there ? fmt::format("{}.{}", status.st_ino, status.st_mtim.tv_nsec) : "");
        }
        return {{"fault", ""}, {"files", dataset.files}, {"sizes", sizes}, {"identities", identities}};
    } catch (const Error& e) {
        return {{"fault", e.what()}, {"files", Json::array()}, {"sizes", sizes}, {"identities", identities}};
    }
}

// What no rank sees is left out of training; training on nothing fails.
std::vector<bool> judge_lost(const std::vector<Json>& ranks, Notes& notes) {
    const auto& files = ranks[0].at("files");
    std::vector<bool> lost(files.size());
    for (std::size_t file = 0; file < files.size(); ++file)
        lost[file] = std::ranges::all_of(
            ranks, [&](const Json& rank) { return rank.at("sizes").at(file).get<std::int64_t>() < 0; });
    const auto count = static_cast<std::size_t>(std::count(lost.begin(), lost.end(), true));
    if (count == 0) return lost;
    const auto first = static_cast<std::size_t>(std::find(lost.begin(), lost.end(), true) - lost.begin());
    const std::string text = fmt::format("{} of {} files are nowhere, {} for one", count, files.size(),
                                         files[first].get<std::string>());
    if (count == files.size())
        notes.error("data", text, "mount the data set, or see that data.dataset names the right folder");
    else
        notes.warning("data", text,
                      "such files are left out of training: copy them to one of the hosts, or take them out "
                      "of the table");
    return lost;
}

// Of all ranks that can read the table. `files`: of rank 0's.
void judge_shared(const std::vector<Json>& ranks, const std::vector<bool>& lost, Notes& notes) {
    const auto& files = ranks[0].at("files");
    for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
        std::size_t missing = 0, other = 0, first = 0;
        for (std::size_t file = files.size(); file-- > 0;) {
            if (lost[file]) continue;
            const auto size = ranks[rank].at("sizes").at(file).get<std::int64_t>();
            const bool differs = size >= 0 && size != ranks[0].at("sizes").at(file).get<std::int64_t>();
            missing += size < 0;
            other += differs;
            if (size < 0 || differs) first = file;
        }
        const std::string host = ranks[rank].at("host");
        if (missing > 0)
            notes.error("data",
                        fmt::format("rank {} on {} does not see {} of {} files, {} for one", rank, host,
                                    missing, files.size(), files[first].get<std::string>()),
                        "mount the data set on that host, or set scheduler.storage = \"local\" where each "
                        "host has its own "
                        "files");
        else if (other > 0)
            notes.error("data",
                        fmt::format("rank {} on {} has another {} than rank 0 ({} files differ in length)",
                                    rank, host, files[first].get<std::string>(), other),
                        "copy the data set again: every rank must read the same bytes");
    }
}

void judge_local(const std::vector<Json>& ranks, Notes& notes) {
    const auto& files = ranks[0].at("files");
    bool all_see_the_same = ranks.size() > 1;
    for (std::size_t file = 0; file < files.size(); ++file) {
        std::set<std::string> identities;
        for (const Json& rank : ranks) identities.insert(rank.at("identities").at(file).get<std::string>());
        all_see_the_same = all_see_the_same && identities.size() == 1 && !identities.contains("");
    }
    if (all_see_the_same)
        notes.warning("data", "scheduler.storage is \"local\", but all ranks see the same files",
                      "set scheduler.storage = \"shared\": shards then change hands without being sent");
}

// One file of each kind, the shortest: can it be decoded here at all?
void try_codecs(const train::Settings& settings, const Json& seen, Notes& notes) {
    const video::Dataset dataset = video::read_dataset(settings.data.dataset);
    std::map<std::string, std::uint32_t> shortest;  // by extension
    const auto size_of = [&](std::uint32_t file) { return seen.at("sizes").at(file).get<std::int64_t>(); };
    for (std::uint32_t file = 0; file < dataset.files.size(); ++file) {
        if (size_of(file) < 0) continue;
        const auto [found, fresh] =
            shortest.try_emplace(fs::path(dataset.files[file]).extension().string(), file);
        if (!fresh && size_of(file) < size_of(found->second)) found->second = file;
    }
    std::set<std::string> codecs;
    for (const auto& [extension, file] : shortest) {
        const video::VideoIndex index =
            video::index_video(dataset.path_of(file), settings.data.catalogue.limits);
        if (index.quarantine.empty())
            codecs.insert(index.codec);
        else
            notes.warning(
                "data", fmt::format("{}: {}", dataset.files[file], index.quarantine),
                "such files are left out of training: convert them, or install an FFmpeg that reads them");
    }
    std::string text;
    for (const std::string& codec : codecs) text += (text.empty() ? "" : ", ") + codec;
    notes.ok("data", fmt::format("{}: {} files, {} classes{}", dataset.name, dataset.files.size(),
                                 dataset.classes.size(), text.empty() ? "" : ", " + text));
}

}  // namespace

void check_data(Patient& patient, Notes& notes) {
    const auto& settings = patient.examination.settings;
    if (!settings) return;
    Json mine = look_at(*settings);
    mine["host"] = patient.world.host();
    const auto ranks = gather(patient.world, mine);
    if (!mine.at("fault").get<std::string>().empty())
        notes.error("data", mine.at("fault"), "see datasets/README.md for the table and the descriptor");
    if (!patient.is_root()) return;
    for (const Json& rank : ranks) {
        if (!rank.at("fault").get<std::string>().empty()) return;
        if (rank.at("files") == ranks[0].at("files")) continue;
        return notes.error(
            "data",
            fmt::format("{} has another table of labels than rank 0's host {}",
                        rank.at("host").get<std::string>(), ranks[0].at("host").get<std::string>()),
            "copy the table: every rank must plan the same samples");
    }
    const std::vector<bool> lost = judge_lost(ranks, notes);
    if (settings->scheduler.storage == sched::Storage::local)
        judge_local(ranks, notes);
    else
        judge_shared(ranks, lost, notes);
    try_codecs(*settings, mine, notes);
}

}  // namespace divs::doctor
