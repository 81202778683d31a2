// Takes the double's place where the tests of the cuda backend run on a real device. The order of threads is the
// device's own: what tests ask of the double is not heard. What the double counts is counted here where the linker
// wraps the runtime's functions (--wrap, see CMakeLists.txt).
#include <cuda_runtime_api.h>

#include "device_cases.hpp"
#include "kernels/host/device_double.hpp"

namespace divs::kernels::host {

DeviceDouble& device() {
    static DeviceDouble counted;
    return counted;
}

}  // namespace divs::kernels::host

std::vector<divs::nn::test::OperationCase> divs::nn::test::device_cases() {
    return all_cases();
}

std::vector<divs::nn::test::OperationCase> divs::nn::test::folded_device_cases() {
    return folded_cases();
}

double divs::nn::test::product_bound() {
    return 1e-5;  // that of the cpu backend: the matrix units add in an order of their own
}

using divs::kernels::host::device;

extern "C" {
cudaError_t __real_cudaMalloc(void** memory, std::size_t bytes);
cudaError_t __real_cudaGraphLaunch(cudaGraphExec_t run, cudaStream_t stream);
cudaError_t __real_cudaStreamSynchronize(cudaStream_t stream);
cudaError_t __real_cudaEventSynchronize(cudaEvent_t event);

cudaError_t __wrap_cudaMalloc(void** memory, std::size_t bytes) {
    ++device().counts.allocations;
    return __real_cudaMalloc(memory, bytes);
}
cudaError_t __wrap_cudaGraphLaunch(cudaGraphExec_t run, cudaStream_t stream) {
    ++device().counts.graph_launches;
    return __real_cudaGraphLaunch(run, stream);
}
cudaError_t __wrap_cudaStreamSynchronize(cudaStream_t stream) {
    ++device().counts.waits;
    return __real_cudaStreamSynchronize(stream);
}
cudaError_t __wrap_cudaEventSynchronize(cudaEvent_t event) {
    ++device().counts.waits;
    return __real_cudaEventSynchronize(event);
}
}
