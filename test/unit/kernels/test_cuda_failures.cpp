// What goes wrong with a GPU is said in words: no driver, an old one, no device, an old device, no memory, a
// device that is lost.
#include "cuda/backend.hpp"
#include "cuda/device.hpp"
#include "cuda/memory.hpp"
#include "divs/core/error.hpp"
#include "kernels/host/device_double.hpp"
#include "operation_cases.hpp"
#include "support/catch.hpp"

using namespace divs;
using namespace divs::nn;
using Catch::Matchers::ContainsSubstring;
using kernels::host::device;

namespace {

// The double as a test wants it, and as it was at the end.
struct Fresh {
    Fresh() { device() = {}; }
    ~Fresh() {
        device() = {};
        cudaGetLastError();
    }
};

}  // namespace

TEST_CASE("No driver, an old driver, no device: the reason says so", "[cuda]") {
    const Fresh fresh;
    device().start = cudaErrorInsufficientDriver;
    device().driver = 0;
    CHECK_THROWS_WITH(cuda::make_backend({}), ContainsSubstring("no NVIDIA driver"));
    device().driver = 12040;
    CHECK_THROWS_WITH(cuda::make_backend({}), ContainsSubstring("too old") && ContainsSubstring("12.4") &&
                                                  ContainsSubstring("needs 13.0"));
    device().driver = 13000;
    device().start = cudaErrorNoDevice;
    CHECK_THROWS_WITH(cuda::make_backend({}), ContainsSubstring("no NVIDIA GPU"));
    device().start = cudaSuccess;
    device().devices = 0;
    CHECK_THROWS_WITH(cuda::make_backend({}), ContainsSubstring("no NVIDIA GPU"));
    device().devices = 1;
    device().major = 7;
    device().minor = 5;
    CHECK_THROWS_WITH(cuda::make_backend({}), ContainsSubstring("7.5") && ContainsSubstring("8.0 or later"));
    CHECK(cudaPeekAtLastError() == cudaSuccess);  // nothing is left for a later check to find
}

TEST_CASE("Ranks of one host share out its devices", "[cuda]") {
    const Fresh fresh;
    device().devices = 2;
    CHECK(cuda::Device(0).number() == 0);
    CHECK(cuda::Device(3).number() == 1);
    CHECK(cuda::Device(1).pci_bus_id() == cuda::Device(3).pci_bus_id());
    CHECK(cuda::Device(0).pci_bus_id() != cuda::Device(1).pci_bus_id());
}

TEST_CASE("Out of device memory: who asked, for how much, and what is free", "[cuda]") {
    const Fresh fresh;
    auto backend = cuda::make_backend({});
    device().memory = std::size_t{1} << 30;
    CHECK_THROWS_WITH(backend->allocate(std::size_t{3} << 30),
                      ContainsSubstring("tensors ask for 3.00 GiB") &&
                          ContainsSubstring("of 1.00 GiB are free") && ContainsSubstring("train.batch"));
    CHECK(backend->allocate(1 << 20)->bytes() == 1 << 20);  // what fits still does
}

TEST_CASE("A device that is lost in the middle says so, at the operation that met it", "[cuda]") {
    const Fresh fresh;
    auto backend = cuda::make_backend({});
    const Shape shape{2, 3, 3, 8};
    const auto values = test::random_values(shape.size(), 1, 1);
    Tensor tensor = test::make_tensor(*backend, backend->input_desc(shape, Op{Activate{}}), &values);
    device().broken = cudaErrorIllegalAddress;
    std::vector<float> out(values.size());
    CHECK_THROWS_WITH(backend->download(tensor, out.data()), ContainsSubstring("the GPU is lost"));
    CHECK_THROWS_WITH(backend->accumulate(tensor, tensor), ContainsSubstring("accumulate"));
    CHECK_THROWS_WITH(backend->synchronise(), ContainsSubstring("cudaStreamSynchronize"));
}
