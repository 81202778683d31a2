#include "divs/comm/job.hpp"

#include "divs/core/error.hpp"

namespace divs::comm {

int run_job(const WorldOptions& options, const std::function<int(World&)>& body) {
    World world(options);
    if (world.size() == 1) return body(world);
    // Here, not in ~World: only a handler knows the message and the code.
    try {
        return body(world);
    } catch (const Error& e) {
        world.abort(static_cast<int>(e.code()), e.what());
    } catch (const std::exception& e) {
        world.abort(static_cast<int>(ExitCode::failure), e.what());
    }
}

}  // namespace divs::comm
