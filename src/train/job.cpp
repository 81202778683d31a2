#include "divs/train/job.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "divs/core/build_info.hpp"
#include "divs/core/error.hpp"
#include "divs/core/log.hpp"
#include "divs/video/indexing.hpp"

namespace divs::train {
namespace {

// Ranks that can read each file, lowest first.
std::vector<std::vector<int>> find_holders(comm::World& world, const video::Dataset& dataset) {
    std::vector<std::byte> mine;
    for (std::uint32_t file = 0; file < dataset.files.size(); ++file) {
        std::error_code ignored;
        mine.push_back(std::byte{std::filesystem::is_regular_file(dataset.path_of(file), ignored)});
    }
    std::vector<std::vector<int>> holders(dataset.files.size());
    const auto all = world.all_gather(mine, "files held");
    for (std::size_t rank = 0; rank < all.size(); ++rank) {
        if (all[rank].size() != mine.size())
            throw_error<InputError>("rank {} lists {} files, this rank {}: the tables of labels differ", rank,
                                    all[rank].size(), mine.size());
        for (std::size_t file = 0; file < mine.size(); ++file)
            if (all[rank][file] == std::byte{1}) holders[file].push_back(static_cast<int>(rank));
    }
    return holders;
}

}  // namespace

DataView open_data(comm::World& world, const DataSettings& data, sched::Storage storage) {
    video::Dataset dataset = video::read_dataset(data.dataset);
    const bool local = storage == sched::Storage::local;
    const auto holders = local ? find_holders(world, dataset) : std::vector<std::vector<int>>{};

    video::IndexingPeers peers{
        world.rank(),
        world.size(),
        [&](std::span<const std::byte> mine) { return world.all_gather(mine, "indexes"); },
        {}};
    if (local)  // the first that holds a file indexes it; rank 0 says what is wrong with those that nobody
                // holds
        peers.mine = [&](std::uint32_t file) {
            return (holders[file].empty() ? 0 : holders[file].front()) == world.rank();
        };
    video::IndexingOptions options;
    options.threads = std::max(1, usable_cores() / world.local_size());
    options.limits = data.catalogue.limits;
    options.saved = data.index;
    auto files = video::index_dataset(dataset, options, peers).files;
    for (std::uint32_t file = 0; local && file < files.size(); ++file)
        files[file].path =
            dataset.path_of(file).string();  // each rank reads its own copy, wherever its root is

    DataView view{video::make_catalogue(std::move(dataset), std::move(files), data.catalogue), {}};
    if (local)
        for (const video::Shard& shard : view.catalogue.shards) view.holders.push_back(holders[shard.file]);
    if (world.rank() == 0)
        for (const auto& [file, reason] : view.catalogue.quarantined())
            log::warn("{} is left out: {}", file, reason);
    return view;
}

int compute_threads(const comm::World& world, const ModelSettings& model) {
    return model.threads > 0 ? model.threads : std::max(1, usable_cores() / world.local_size());
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
