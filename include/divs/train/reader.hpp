// How a rank reads clips: what decodes them, and where they wait for the step that needs them.
#pragma once

#include "divs/comm/world.hpp"
#include "divs/nn/model.hpp"
#include "divs/video/decoder_choice.hpp"

namespace divs::train {

// Of the pictures that the model reads.
video::PictureSize picture_size(const nn::ModelSpec& spec);

struct ReaderSettings {
    video::DecodeOn decode_on = video::DecodeOn::automatic;
    int threads = 1;  // that decode
    video::OpenLimits limits;
    bool clips_travel = false;  // to the ranks that need them, through the host's memory
    bool alike = false;  // all ranks with a GPU decode alike, so that results do not depend on who read what
};

// Reader options for clips of these sizes. Where the models are on a GPU, their clips wait there, and what
// decodes them is chosen (video::choose_decoder) and said on rank 0. `holders`: ranks that can read each
// shard; empty: all can. Collective.
video::ClipReaderOptions reader_options(comm::World& world, nn::Backend& backend,
                                        std::vector<video::PictureSize> sizes,
                                        const video::Catalogue& catalogue,
                                        const std::vector<std::vector<int>>& holders,
                                        const ReaderSettings& settings);

}  // namespace divs::train
