// The smallest plugin: it lends the oracle under its own name, and refuses what a test asks it to refuse.
#include <cstdio>

#include "divs/nn/plugin.hpp"

extern "C" divs::nn::Backend* divs_backend_factory_v1(const divs::nn::BackendRequest* request, char* reason,
                                                      std::size_t reason_bytes) {
    if (request->interface != divs::nn::backend_interface) {
        std::snprintf(reason, reason_bytes, "made for interface %u", divs::nn::backend_interface);
        return nullptr;
    }
    if (request->options.threads == 99) {
        std::snprintf(reason, reason_bytes, "no device with 99 threads");
        return nullptr;
    }
    return divs::nn::make_backend("reference", request->options).release();
}
