// GPUs: whether there are any, whether the ranks see them, and who shares one.
#include <fmt/format.h>

#include <set>

#include "checks.hpp"
#include "driver.hpp"

namespace divs::doctor {
namespace {

using Json = nlohmann::json;

std::string text_of(const RankGpus& rank) {
    std::map<std::string, int> kinds;
    for (const Gpu& gpu : rank.gpus) ++kinds[fmt::format("{} ({:.0f} GiB)", gpu.name, gpu.gib)];
    std::string text;
    for (const auto& [kind, count] : kinds)
        text += fmt::format("{}{} x {}", text.empty() ? "" : ", ", count, kind);
    return text;
}

// Of the ranks of one host.
void judge_host(const std::string& host, const std::vector<const RankGpus*>& ranks, bool wanted,
                std::vector<Finding>& found) {
    const RankGpus& first = *ranks[0];
    const auto add = [&](Level level, const char* topic, std::string text, std::string advice = "") {
        found.push_back({level, topic, std::move(text), std::move(advice), {}});
    };
    const Level missing = wanted ? Level::error : Level::ok;
    if (!first.absence.empty()) {
        add(missing, "GPU", fmt::format("{}: no NVIDIA driver ({}): the CPU computes", host, first.absence),
            wanted ? "install the driver on this host, or set model.backend = \"cpu\"" : "");
        return;
    }
    std::set<std::string> gpus;
    std::vector<int> blind;
    for (const RankGpus* rank : ranks) {
        for (const Gpu& gpu : rank->gpus) gpus.insert(gpu.id);
        if (rank->gpus.empty()) blind.push_back(rank->rank);
    }
    const std::string driver =
        fmt::format("driver for CUDA {}.{}", first.driver / 1000, first.driver % 1000 / 10);
    if (!blind.empty()) {
        const std::string visible =
            first.visible.empty() ? "" : fmt::format(", CUDA_VISIBLE_DEVICES is \"{}\"", first.visible);
        add(wanted ? Level::error : Level::warning, "GPU",
            fmt::format("{}: {}, but rank {} sees no GPU{}", host, driver, ranges_text(blind), visible),
            "ask the queue for GPUs (sbatch --gpus-per-task=1), look at CUDA_VISIBLE_DEVICES and nvidia-smi");
        return;
    }
    add(Level::ok, "GPU", fmt::format("{}: {}, {}", host, text_of(first), driver));
    if (ranks.size() > gpus.size())
        add(Level::warning, "GPU sharing",
            fmt::format("{}: {} ranks share {} GPU(s)", host, ranks.size(), gpus.size()),
            "start one rank a GPU (--ntasks-per-node, mpirun --map-by ppr:N:node): ranks of one GPU wait for "
            "each other");
    add(first.cudnn.empty() ? missing : Level::ok, "cuDNN", first.cudnn.empty() ? "not found" : first.cudnn,
        first.cudnn.empty() && wanted ? "install libcudnn 9, or put its folder into LD_LIBRARY_PATH" : "");
    add(Level::ok, "NCCL",
        first.nccl.empty() ? "not found: sums between GPUs go through the host" : first.nccl);
}

// The same for every host: what this program can do with GPUs.
void judge_plugin(const RankGpus& first, bool wanted, std::vector<Finding>& found) {
    if (!first.plugin.empty())
        found.push_back({Level::ok, "CUDA backend", first.plugin, {}, {}});
    else if (first.absence.empty() && !first.gpus.empty())
        found.push_back(
            {wanted ? Level::error : Level::warning,
             "CUDA backend",
             first.plugin_fault,
             "the GPUs stay unused: install libdivs_cuda.so of this version beside the program, or name its "
             "folder in DIVS_PLUGINS",
             {}});
    else if (wanted)
        found.push_back({Level::error,
                         "CUDA backend",
                         first.plugin_fault,
                         "set model.backend = \"cpu\", or start on hosts with GPUs",
                         {}});
}

Json to_json(const RankGpus& r) {
    Json gpus = Json::array();
    for (const Gpu& gpu : r.gpus) gpus.push_back({gpu.name, gpu.id, gpu.gib});
    return {{"absence", r.absence}, {"driver", r.driver},
            {"visible", r.visible}, {"gpus", gpus},
            {"cudnn", r.cudnn},     {"nccl", r.nccl},
            {"plugin", r.plugin},   {"plugin_fault", r.plugin_fault}};
}

RankGpus from_json(const Json& json) {
    RankGpus r;
    r.absence = json.at("absence");
    r.driver = json.at("driver");
    r.visible = json.at("visible");
    for (const Json& gpu : json.at("gpus")) r.gpus.push_back({gpu.at(0), gpu.at(1), gpu.at(2)});
    r.cudnn = json.at("cudnn");
    r.nccl = json.at("nccl");
    r.plugin = json.at("plugin");
    r.plugin_fault = json.at("plugin_fault");
    return r;
}

}  // namespace

std::vector<Finding> judge_gpus(std::span<const RankGpus> ranks, bool wanted) {
    std::map<std::string, std::vector<const RankGpus*>> hosts;
    for (const RankGpus& rank : ranks) hosts[rank.host].push_back(&rank);
    std::vector<Finding> found;
    for (const auto& [host, here] : hosts) judge_host(host, here, wanted, found);
    judge_plugin(ranks[0], wanted, found);
    return found;
}

void check_gpus(Patient& patient, Notes& notes) {
    Json mine = to_json(find_gpus());
    mine["host"] = patient.world.host();
    std::vector<RankGpus> ranks;
    for (const Json& json : gather(patient.world, mine)) {
        ranks.push_back(from_json(json));
        ranks.back().rank = static_cast<int>(ranks.size()) - 1;
        ranks.back().host = json.at("host");
    }
    const auto& settings = patient.examination.settings;
    if (patient.is_root()) notes.add(judge_gpus(ranks, settings && settings->model.backend == "cuda"));
}

}  // namespace divs::doctor
