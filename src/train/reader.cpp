#include "divs/train/reader.hpp"

#include <algorithm>
#include <array>
#include <map>

#include "divs/core/log.hpp"

namespace divs::train {
namespace {

std::vector<std::uint32_t> readable_shards(const video::Catalogue& catalogue,
                                           const std::vector<std::vector<int>>& holders, int rank) {
    std::vector<std::uint32_t> shards;
    for (std::uint32_t shard = 0; shard < catalogue.shards.size(); ++shard)
        if (holders.empty() || std::ranges::count(holders[shard], rank)) shards.push_back(shard);
    return shards;
}

// One line for the ranks that decode alike, with the figures of the first of them. Collective.
void say(comm::World& world, const std::string& text) {
    const auto texts = world.gather(std::as_bytes(std::span(text)), 0, "decoders");
    std::map<std::string, std::vector<std::size_t>> ranks;  // by "on the GPU", "on the CPU"
    std::map<std::string, std::string> first;
    for (std::size_t rank = 0; rank < texts.size(); ++rank) {
        const std::string said(reinterpret_cast<const char*>(texts[rank].data()), texts[rank].size());
        const std::string where = said.substr(0, said.find_first_of(":,"));
        ranks[where].push_back(rank);
        first.emplace(where, said);
    }
    for (const auto& [where, alike] : ranks)
        log::info("video is decoded {} (rank {}{})", first.at(where), alike.front(),
                  alike.size() > 1 ? fmt::format("; alike on {} more", alike.size() - 1) : "");
}

constexpr const char* travel = "clips travel between ranks (train.order = \"global\")";

}  // namespace

video::ClipReaderOptions reader_options(comm::World& world, nn::Model& model,
                                        const video::Catalogue& catalogue,
                                        const std::vector<std::vector<int>>& holders,
                                        const ReaderSettings& settings) {
    video::ClipReaderOptions reader;
    reader.height = model.spec().height;
    reader.width = model.spec().width;
    reader.decode.limits = settings.limits;
    const bool on_gpu = !model.backend().host_memory();
    video::DecoderChoice choice;
    if (settings.clips_travel && on_gpu) {
        choice = video::decode_on_processor(settings.decode_on, travel);
    } else {
        reader.memory = model.backend().pixel_memory();
        choice = video::choose_decoder(settings.decode_on, catalogue,
                                       readable_shards(catalogue, holders, world.rank()), reader,
                                       settings.threads);
    }
    reader.decode.hardware = choice.hardware;
    std::array<std::int64_t, 1> gpus{on_gpu};
    world.sum(gpus, "ranks with a GPU").wait();
    if (gpus[0] > 0) say(world, choice.text);
    return reader;
}

}  // namespace divs::train
