#include "divs/train/job.hpp"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "divs/core/build_info.hpp"
#include "divs/core/error.hpp"
#include "divs/core/log.hpp"
#include "divs/video/indexing.hpp"

namespace divs::train {

DataView open_data(comm::World& world, const DataSettings& data, sched::Storage storage) {
    video::Dataset dataset = video::read_dataset(data.dataset);
    video::IndexingPeers peers;
    peers.rank = world.rank();
    peers.size = world.size();
    peers.all_gather = [&](std::span<const std::byte> mine) { return world.all_gather(mine, "indexes"); };
    peers.own_storage = storage == sched::Storage::local;
    video::IndexingOptions options;
    options.threads = std::max(1, usable_cores() / world.local_size());
    options.limits = data.catalogue.limits;
    options.saved = data.index;
    video::Indexed indexed = video::index_dataset(dataset, options, peers);

    DataView view{video::make_catalogue(std::move(dataset), std::move(indexed.files), data.catalogue), {}};
    if (peers.own_storage)
        for (const video::Shard& shard : view.catalogue.shards)
            view.holders.push_back(indexed.holders[shard.file]);
    if (world.rank() == 0)
        for (const auto& [file, reason] : view.catalogue.quarantined())
            log::warn("{} is left out: {}", file, reason);
    return view;
}

int compute_threads(const comm::World& world, const ModelSettings& model) {
    return model.threads > 0 ? model.threads : std::max(1, usable_cores() / world.local_size());
}

std::filesystem::path cache_folder() {
    if (const char* named = std::getenv("DIVS_CACHE")) return named;
    if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache && *cache)
        return std::filesystem::path(cache) / "divs";
    if (const char* home = std::getenv("HOME"); home && *home)
        return std::filesystem::path(home) / ".cache" / "divs";
    return {};
}

nn::BackendOptions backend_options(const comm::World& world, const ModelSettings& model, bool deterministic) {
    nn::BackendOptions options;
    options.threads = compute_threads(world, model);
    options.deterministic = deterministic;
    options.device = world.local_rank();
    options.precision = model.precision;
    options.conv = model.conv;
    options.cache_folder = cache_folder().string();
    return options;
}

nn::ModelSpec describe_model(const ModelSettings& model, const video::ClipOptions& clip, int classes) {
    const nn::ModelSize size{classes, clip.frames, model.height, model.width};
    if (model.file.empty()) return nn::zoo_model(model.name, size);
    std::ifstream in(model.file);
    if (!in)
        throw_error<InputError>("{}: cannot be opened, expected a model description", model.file.string());
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    return nn::parse_model(text, size, model.file.string());
}

}  // namespace divs::train
