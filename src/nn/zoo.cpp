#include "zoo.hpp"

#include <fmt/ranges.h>

#include <map>

#include "divs/core/config.hpp"
#include "divs/core/error.hpp"

namespace divs::nn {
namespace {

using Make = ModelSpec (*)(const ModelSize&);

const std::map<std::string, Make, std::less<>>& zoo() {
    static const std::map<std::string, Make, std::less<>> models{{"alexnet", zoo_alexnet},
                                                                 {"mobilenet_v2", zoo_mobilenet_v2},
                                                                 {"resnet18", zoo_resnet18},
                                                                 {"resnet50", zoo_resnet50},
                                                                 {"tiny", zoo_tiny},
                                                                 {"tsm_resnet18", zoo_tsm_resnet18},
                                                                 {"tsm_resnet50", zoo_tsm_resnet50}};
    return models;
}

}  // namespace

std::vector<std::string> zoo_names() {
    std::vector<std::string> names;
    for (const auto& entry : zoo()) names.push_back(entry.first);
    return names;
}

ModelSpec zoo_model(std::string_view name, const ModelSize& size) {
    if (const auto found = zoo().find(name); found != zoo().end()) return found->second(size);
    const std::string near = nearest(name, zoo_names());
    throw_error<ConfigError>("unknown model '{}', expected one of {}{}", name, fmt::join(zoo_names(), ", "),
                             near.empty() ? "" : "; did you mean '" + near + "'?");
}

}  // namespace divs::nn
