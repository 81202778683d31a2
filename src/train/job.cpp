#include "divs/train/job.hpp"

#include <algorithm>
#include <fstream>
#include <iterator>

#include "divs/core/build_info.hpp"
#include "divs/core/error.hpp"
#include "divs/core/log.hpp"

namespace divs::train {
namespace {

// The saved entry of a file where it is still good, else a new one.
video::VideoIndex index_of(const video::Dataset& dataset, std::uint32_t file,
                           const std::map<std::string, video::VideoIndex>& saved,
                           const video::OpenLimits& limits) {
    const std::string path = (dataset.root / dataset.files[file]).string();
    if (const auto known = saved.find(path); known != saved.end() && video::is_current(known->second))
        return known->second;
    return video::index_video(path, limits);
}

// Every rank's part of the indexes; where storage is shared, file i is rank i mod size's to index.
std::vector<std::vector<video::VideoIndex>> index_everywhere(comm::World& world,
                                                             const video::Dataset& dataset,
                                                             const DataSettings& data, bool shared) {
    const auto path = data.index.empty() ? video::default_index_path(dataset) : data.index;
    const auto saved = video::load_index(path);
    std::vector<video::VideoIndex> mine;
    for (std::uint32_t file = 0; file < dataset.files.size(); ++file)
        if (!shared || static_cast<int>(file % static_cast<std::uint32_t>(world.size())) == world.rank())
            mine.push_back(index_of(dataset, file, saved, data.catalogue.limits));
    std::vector<std::vector<video::VideoIndex>> all;
    for (const auto& packed : world.all_gather(video::pack_indexes(mine), "indexes"))
        all.push_back(video::unpack_indexes(packed));
    return all;
}

}  // namespace

DataView open_data(comm::World& world, const DataSettings& data, sched::Storage storage) {
    const bool shared = storage == sched::Storage::shared;
    video::Dataset dataset = video::read_dataset(data.dataset);
    const auto all = index_everywhere(world, dataset, data, shared);
    const auto ranks = static_cast<std::size_t>(world.size());

    std::vector<video::VideoIndex> files;
    std::vector<std::vector<int>> file_holders;
    for (std::size_t file = 0; file < dataset.files.size(); ++file) {
        if (shared) {
            files.push_back(all[file % ranks][file / ranks]);
            continue;
        }
        // The first rank that can read the file speaks for it; all that can hold it.
        file_holders.emplace_back();
        for (std::size_t rank = 0; rank < ranks; ++rank)
            if (all[rank][file].quarantine.empty()) file_holders.back().push_back(static_cast<int>(rank));
        const std::size_t speaker =
            file_holders.back().empty() ? 0 : static_cast<std::size_t>(file_holders.back()[0]);
        files.push_back(all[speaker][file]);
        // Each rank reads its own copy, wherever its data set's root is.
        files.back().path = (dataset.root / dataset.files[file]).string();
    }
    if (world.rank() == 0 && shared) {
        const auto path = data.index.empty() ? video::default_index_path(dataset) : data.index;
        video::save_index(path, files);
    }

    DataView view{video::make_catalogue(std::move(dataset), std::move(files), data.catalogue), {}};
    if (!shared)
        for (const video::Shard& shard : view.catalogue.shards)
            view.holders.push_back(file_holders[shard.file]);
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
