#include "tensor_map.hpp"

#include <cuda_runtime_api.h>

#include <stdexcept>
#include <string>

namespace divs::kernels {
namespace {

// The driver's functions by name: linking libcuda would keep the program from starting where there is none.
template <class Function>
Function driver_function(const char* name) {
    void* function = nullptr;
    cudaDriverEntryPointQueryResult found{};
    const cudaError_t code =
        cudaGetDriverEntryPointByVersion(name, &function, 12000, cudaEnableDefault, &found);
    if (code != cudaSuccess || found != cudaDriverEntryPointSuccess || !function)
        throw std::runtime_error(std::string("the driver has no ") + name);
    return reinterpret_cast<Function>(function);
}

}  // namespace

void encode_map(const BoxMap& map, const void* tensor, TensorMap& encoded) {
    static const auto tiled = driver_function<decltype(&cuTensorMapEncodeTiled)>("cuTensorMapEncodeTiled");
    static const auto im2col = driver_function<decltype(&cuTensorMapEncodeIm2col)>("cuTensorMapEncodeIm2col");
    cuuint64_t sizes[5], strides[4];
    for (int i = 0; i < 5; ++i) sizes[i] = map.sizes[i];
    for (int i = 0; i < 4; ++i) strides[i] = map.strides[i];
    void* address = const_cast<void*>(tensor);
    const auto rank = static_cast<cuuint32_t>(map.rank);
    const CUresult result =
        map.pixels ? im2col(&encoded, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, rank, address, sizes, strides,
                            map.lower, map.upper, box_channels, map.rows, map.steps,
                            CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                            CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE)
                   : tiled(&encoded, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, rank, address, sizes, strides, map.box,
                           map.steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                           CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    if (result != CUDA_SUCCESS)
        throw std::runtime_error("the driver refused a tensor map (code " + std::to_string(result) + ")");
}

}  // namespace divs::kernels
