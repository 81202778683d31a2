// What training, evaluation and analysis set up alike: the catalogue of a data set, known to all ranks, and
// who can read what.
#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "divs/comm/world.hpp"
#include "divs/nn/model.hpp"
#include "divs/train/settings.hpp"
#include "divs/video/dataset.hpp"

namespace divs::train {

struct DataView {
    video::Catalogue catalogue;             // equal on every rank
    std::vector<std::vector<int>> holders;  // by shard: ranks that can read its file; empty: all can
};

// Reads the descriptor, indexes what is not indexed yet (each rank its part, or what it holds), and agrees on
// the result. Collective. Quarantined files are logged on rank 0.
DataView open_data(comm::World& world, const DataSettings& data, sched::Storage storage);

// The rank's compute threads: as configured, else its share of the host's cores.
int compute_threads(const comm::World& world, const ModelSettings& model);

// What the rank's backend is made with; ranks of one host are dealt its devices in turn.
// Where measured choices are kept between runs: DIVS_CACHE, or divs in the user's cache folder; empty: nowhere.
std::filesystem::path cache_folder();
nn::BackendOptions backend_options(const comm::World& world, const ModelSettings& model, bool deterministic);

// The model that the settings describe, initialised from the seed. `classes`: of the data set.
nn::ModelSpec describe_model(const ModelSettings& model, const video::ClipOptions& clip, int classes);

}  // namespace divs::train
