#include "bench.hpp"
#include "device_bench.hpp"

#include <cstdio>
#include <cstdlib>
#include <exception>

namespace divs::bench {

void run_on_device(const std::function<int(const nn::cuda::Device&)>& work) {
    std::unique_ptr<nn::cuda::Device> device;
    try {
        device = std::make_unique<nn::cuda::Device>(0);
    } catch (const std::exception& e) {
        std::printf("no GPU here: %s\n", e.what());
        std::exit(77);
    }
    std::printf("%s\n", device->description().c_str());
    const int code = work(*device);
    std::fflush(stdout);
    std::exit(code);
}

void goal(const std::string& name, double value, double least) {
    std::printf("%s %.3f >= %.3g %s\n", name.c_str(), value, least, value >= least ? "met" : "missed");
}

}  // namespace divs::bench

int main(int argc, char** argv) {
    using namespace divs::bench;
    CLI::App app("Benchmarks of the CUDA backend on the GPU at hand");
    app.require_subcommand(1);
    add_check(app);
    add_convolutions(app);
    add_memory(app);
    add_step(app);
    try {
        CLI11_PARSE(app, argc, argv);
    } catch (const std::exception& e) {
        std::fprintf(stderr, "device_bench: %s\n", e.what());
        return 1;
    }
    return 0;
}
