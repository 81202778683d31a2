// Maximum and average over windows. A window is the product of one range of rows and one of columns, clipped
// to the image; ranges begin and end in order. T: float or bf16; pitch is a multiple of 8.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "bf16.hpp"

namespace divs::kernels {

struct Range {
    int begin = 0, end = 0;  // half open
};

struct PoolShape {
    int images = 0, in_h = 0, in_w = 0, out_h = 0, out_w = 0, pitch = 0;
    // Device memory. Windows: rows (out_h), columns (out_w), in elements of the input. Readers: which windows
    // an input row or column lies in, row_readers (in_h), column_readers (in_w).
    const Range *rows = nullptr, *columns = nullptr, *row_readers = nullptr, *column_readers = nullptr;
};

// chosen: for each output element, which element of its window is the largest, counted over the clipped
// window row by row: the first of the largest; a NaN counts as largest. May be null in inference.
template <class T>
void max_pool(const T* x, const PoolShape& shape, T* y, std::uint16_t* chosen, cudaStream_t stream);
template <class T>
void max_pool_backward(const T* dy, const std::uint16_t* chosen, const PoolShape& shape, T* dx,
                       cudaStream_t stream);

template <class T>
void average_pool(const T* x, const PoolShape& shape, T* y, cudaStream_t stream);
template <class T>
void average_pool_backward(const T* dy, const PoolShape& shape, T* dx, cudaStream_t stream);

}  // namespace divs::kernels
