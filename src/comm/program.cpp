#include "divs/comm/program.hpp"

#include <fmt/format.h>

#include <set>
#include <span>

#include "divs/comm/library.hpp"
#include "divs/core/build_info.hpp"
#include "divs/core/error.hpp"
#include "divs/core/log.hpp"

namespace divs::comm {
namespace {

// "host\nname\tversion\nname\tversion\n"
std::string packed(const std::string& host, const Versions& versions) {
    std::string text = host + '\n';
    for (const auto& [name, version] : versions) text += name + '\t' + version + '\n';
    return text;
}

struct Rank {
    std::string host;
    Versions versions;
};

Rank unpacked(std::span<const std::byte> bytes) {
    std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    const auto take_line = [&] {
        const auto end = std::min(text.find('\n'), text.size());
        const std::string_view line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        return line;
    };
    Rank rank{std::string(take_line()), {}};
    while (!text.empty()) {
        const std::string_view line = take_line();
        const auto tab = line.find('\t');
        if (tab != std::string_view::npos) rank.versions.emplace(line.substr(0, tab), line.substr(tab + 1));
    }
    return rank;
}

}  // namespace

Versions versions_here(Versions more) {
    const BuildInfo build = build_info();
    more["divs"] = fmt::format("{} revision {}", build.version, build.revision);
    more["MPI"] = mpi_library();
    return more;
}

std::vector<Difference> compare_versions(World& world, const Versions& mine) {
    const std::string text = packed(world.host(), mine);
    std::vector<Rank> ranks;
    for (const auto& bytes : world.all_gather(std::as_bytes(std::span(text)), "versions"))
        ranks.push_back(unpacked(bytes));
    std::set<std::string> names;
    for (const Rank& rank : ranks)
        for (const auto& [name, version] : rank.versions) names.insert(name);
    const auto version_of = [](const Rank& rank, const std::string& name) {
        const auto found = rank.versions.find(name);
        return found == rank.versions.end() ? std::string("none") : found->second;
    };
    std::vector<Difference> differences;
    for (const std::string& name : names) {
        const std::string first = version_of(ranks[0], name);
        std::string others;
        int differ = 0;
        for (std::size_t r = 1; r < ranks.size(); ++r)
            if (const std::string other = version_of(ranks[r], name); other != first && ++differ <= 8)
                others += fmt::format(", {} (rank {}) has {}", ranks[r].host, r, other);
        if (differ > 8) others += fmt::format(", and {} more ranks differ", differ - 8);
        if (differ > 0)
            differences.push_back(
                {name, fmt::format("{}: {} (rank 0) has {}{}", name, ranks[0].host, first, others)});
    }
    return differences;
}

void require_same_program(World& world, const Versions& mine) {
    if (world.size() == 1) return;
    for (const Difference& difference : compare_versions(world, mine)) {
        if (difference.name == "divs")
            throw_error<CommunicationError>(
                "the ranks run different programs: {}. Install one of them on all hosts", difference.text);
        if (world.rank() == 0) log::warn("the ranks use different libraries: {}", difference.text);
    }
}

}  // namespace divs::comm
