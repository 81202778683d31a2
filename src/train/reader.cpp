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

// One line for the ranks whose words differ in figures alone, which are the first one's. Collective.
void say(comm::World& world, const std::string& text) {
    const auto texts = world.gather(std::as_bytes(std::span(text)), 0, "decoders");
    std::map<std::string, std::pair<std::string, std::vector<std::size_t>>> said;  // by the words alone
    for (std::size_t rank = 0; rank < texts.size(); ++rank) {
        const std::string whole(reinterpret_cast<const char*>(texts[rank].data()), texts[rank].size());
        std::string words = whole;
        std::erase_if(words, [](char c) { return c >= '0' && c <= '9'; });
        said.try_emplace(words, whole, std::vector<std::size_t>()).first->second.second.push_back(rank);
    }
    for (const auto& [words, line] : said)
        log::info("video is decoded {} (rank {}{})", line.first, line.second.front(),
                  line.second.size() > 1 ? fmt::format("; alike on {} more", line.second.size() - 1) : "");
}

constexpr const char* travel = "clips travel between ranks (train.order = \"global\")";
constexpr const char* others = "another rank's GPU does not, and all results shall be alike";

}  // namespace

video::PictureSize picture_size(const nn::ModelSpec& spec) {
    return {spec.height, spec.width};
}

video::ClipReaderOptions reader_options(comm::World& world, nn::Backend& backend,
                                        std::vector<video::PictureSize> sizes,
                                        const video::Catalogue& catalogue,
                                        const std::vector<std::vector<int>>& holders,
                                        const ReaderSettings& settings) {
    video::ClipReaderOptions reader;
    reader.sizes = std::move(sizes);
    reader.decode.limits = settings.limits;
    const bool on_gpu = !backend.host_memory();
    std::array<std::int64_t, 1> gpus{on_gpu};
    world.sum(gpus, "ranks with a GPU").wait();
    // In a job that mixes both, ranks without a GPU do as they can.
    const bool mixed = !on_gpu && gpus[0] > 0;
    const video::DecodeOn wish = mixed ? video::DecodeOn::automatic : settings.decode_on;
    if (!settings.clips_travel) reader.memory = backend.pixel_memory();
    video::DecoderChoice choice =
        settings.clips_travel && on_gpu
            ? video::decode_on_processor(wish, travel)
            : video::choose_decoder(wish, catalogue, readable_shards(catalogue, holders, world.rank()),
                                    reader, settings.threads);
    if (settings.alike) {
        std::array<std::int64_t, 1> chosen{choice.hardware != nullptr};
        world.sum(chosen, "ranks that decode on their GPU").wait();
        if (chosen[0] < gpus[0] && choice.hardware) choice = video::decode_on_processor(wish, others);
    }
    reader.decode.hardware = choice.hardware;
    if (gpus[0] > 0) say(world, choice.text);
    return reader;
}

}  // namespace divs::train
