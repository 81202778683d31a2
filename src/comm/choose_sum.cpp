// Which path each rank's gradients take: asked, agreed, started and said.
#include <string_view>
#include <utility>

#include "device_sum.hpp"
#include "divs/comm/bucket_sum.hpp"
#include "divs/core/log.hpp"
#include "nccl_start.hpp"

namespace divs::comm {
namespace {

constexpr char separator = '\x1f';  // between the fields of a Place on its way

std::vector<std::byte> pack(const Place& place) {
    std::string text;
    for (const std::string& field :
         {place.host, place.device, place.pci_bus_id, std::to_string(place.nccl), place.why_not})
        text += field + separator;
    const auto bytes = std::as_bytes(std::span(text));
    return {bytes.begin(), bytes.end()};
}

Place unpack(std::span<const std::byte> bytes) {
    std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    const auto next = [&] {
        const std::string field(text.substr(0, text.find(separator)));
        text.remove_prefix(field.size() + 1);
        return field;
    };
    Place place;
    place.host = next();
    place.device = next();
    place.pci_bus_id = next();
    place.nccl = std::stoi(next());
    place.why_not = next();
    return place;
}

Place own_place(const World& world, const DeviceStream* stream, const SumOptions& options,
                std::shared_ptr<const NcclLibrary>& library) {
    Place place;
    place.host = world.host();
    if (!stream) return place;
    place.device = stream->identity().name;
    place.pci_bus_id = stream->identity().pci_bus_id;
    if (options.nccl)
        library = NcclLibrary::open(place.why_not);
    else
        place.why_not = "switched off by comm.nccl";
    if (library) place.nccl = library->version;
    return place;
}

}  // namespace

ChosenSum choose_sum(World& world, std::span<float> gradients, std::shared_ptr<DeviceStream> stream,
                     const SumOptions& options) {
    if (options.shared)
        return {make_shared_sum(world, options.shared),
                plan_paths(std::vector<Place>(static_cast<std::size_t>(world.size())))};
    std::shared_ptr<const NcclLibrary> library;
    std::vector<Place> places;
    for (const auto& packed :
         world.all_gather(pack(own_place(world, stream.get(), options, library)), "where gradients lie"))
        places.push_back(unpack(packed));
    ChosenSum chosen{nullptr, plan_paths(places)};
    PathPlan& plan = chosen.plan;
    StartedNccl nccl;
    if (!plan.nccl_ranks.empty()) {
        nccl = start_nccl(world, plan, library, stream, gradients, options.nccl_start_seconds);
        if (!nccl.failure.empty()) plan = without_nccl(plan, "NCCL did not start: " + nccl.failure);
    }
    if (world.rank() == 0 && plan.has_devices()) log::info("gradients: {}", plan.describe());
    if (stream)
        chosen.sum =
            std::make_unique<DeviceSum>(world, gradients, std::move(stream), plan, nccl.communicator);
    else
        chosen.sum =
            make_host_sum(world, gradients, plan.has_devices() ? plan.mpi_ranks : std::vector<int>{});
    return chosen;
}

}  // namespace divs::comm
