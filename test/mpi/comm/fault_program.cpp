// One fault of rank 1 while the others wait for it. Run by expect_end.sh, which checks that the job ends, and
// how.
#include <csignal>
#include <cstdio>
#include <string>
#include <vector>

#include "divs/comm/buckets.hpp"
#include "divs/comm/job.hpp"
#include "divs/core/error.hpp"

using namespace divs::comm;

namespace {

void sum(World& world, std::size_t size, const char* what) {
    std::vector<float> values(size, 1);
    world.sum(std::span(values), what).wait();
}

// Buckets are on their way when rank 1 fails; its gradients go out of scope before the World does.
void fail_in_backward(World& world) {
    std::vector<float> gradients(4000000, 1);
    BucketReducer reducer(world, gradients, {{2000000, 4000000}, {0, 2000000}});
    reducer.ready({2000000, 4000000});
    if (world.rank() == 1) divs::throw_error<divs::DivergedError>("sample 17: the loss is not finite");
    reducer.finish();
}

int body(World& world, const std::string& fault) {
    sum(world, 10, "first");
    world.describe_activity("video f.mp4 frame 120");
    const bool guilty = world.rank() == 1;
    if (fault == "none") return 0;
    if (fault == "throw" && guilty) throw divs::InputError("f.mp4: cut short");
    if (fault == "all throw") throw divs::ConfigError("train.epoch: unknown key");
    if (fault == "kill" && guilty) std::raise(SIGKILL);
    if (fault == "stop" && guilty) std::raise(SIGSTOP);
    if (fault == "leave" && guilty) std::_Exit(0);
    if (fault == "backward") fail_in_backward(world);
    sum(world, fault == "length" && guilty ? 200000 : 200001, "bucket 3");
    sum(world, fault == "short" && guilty ? 9 : 10, "bucket 4");
    return 0;
}

}  // namespace

// fault_program FAULT timeout [unwind] [inline]
int main(int argc, char** argv) {
    WorldOptions options;
    options.timeout_seconds = std::stod(argv[2]);
    bool unwind = false;
    for (int i = 3; i < argc; ++i) {
        unwind = unwind || argv[i] == std::string("unwind");
        options.thread = options.thread && argv[i] != std::string("inline");
    }
    try {
        if (!unwind) return run_job(options, [&](World& world) { return body(world, argv[1]); });
        World world(options);
        return body(world, argv[1]);
    } catch (const divs::Error& e) {
        std::fprintf(stderr, "divs: %s\n", e.what());
        return static_cast<int>(e.code());
    }
}
