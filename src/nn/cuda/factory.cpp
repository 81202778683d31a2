// What the plugin exports: one function that makes the backend, or says why it cannot be had here.
#include <cstdio>
#include <exception>

#include "backend.hpp"
#include "divs/core/error.hpp"
#include "divs/nn/plugin.hpp"

extern "C" divs::nn::Backend* divs_backend_factory_v1(const divs::nn::BackendRequest* request, char* reason,
                                                      std::size_t reason_bytes) {
    using namespace divs::nn;
    try {
        if (request->interface != backend_interface)
            divs::throw_error<divs::Error>("it is built for interface {}, the program for {}",
                                           backend_interface, request->interface);
        return cuda::make_backend(request->options).release();
    } catch (const std::exception& e) {
        std::snprintf(reason, reason_bytes, "%s", e.what());
        return nullptr;
    }
}
