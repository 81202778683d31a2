#include "conv.hpp"
#include "conv_gather.cuh"

namespace divs::kernels {
namespace {

template <class T, class Tile>
void launch_gather(const Gather& g, const T* source, const T* weights, const Finish<T>& finish, T* target,
                   cudaStream_t stream) {
    const int tiles = ceil_div(g.most_rows(), Tile::rows) * ceil_div(g.columns, Tile::columns);
    const dim3 grid(static_cast<unsigned>(tiles), static_cast<unsigned>(g.phases_h * g.phases_w),
                    static_cast<unsigned>(g.groups));
    allow_shared(conv_gather_kernel<T, Tile>, Tile::shared_bytes);
    launch(grid, dim3(Tile::threads), Tile::shared_bytes, stream, conv_gather_kernel<T, Tile>, g, source,
           weights, finish, target);
}

using Large = GatherTile<128, 128, 2, 4, 3>;
using Tall = GatherTile<128, 64, 4, 2, 4>;
using Small = GatherTile<64, 64, 2, 2, 4>;

}  // namespace

TileSize gather_tile(int variant) {
    return variant == 0   ? TileSize{Large::rows, Large::columns}
           : variant == 1 ? TileSize{Tall::rows, Tall::columns}
                          : TileSize{Small::rows, Small::columns};
}

template <class T>
void conv_gather(int variant, const Gather& g, const T* source, const T* weights, const Finish<T>& finish,
                 T* target, cudaStream_t stream) {
    if (variant == 0)
        launch_gather<T, Large>(g, source, weights, finish, target, stream);
    else if (variant == 1)
        launch_gather<T, Tall>(g, source, weights, finish, target, stream);
    else
        launch_gather<T, Small>(g, source, weights, finish, target, stream);
}

template void conv_gather(int, const Gather&, const float*, const float*, const Finish<float>&, float*,
                          cudaStream_t);
template void conv_gather(int, const Gather&, const bf16*, const bf16*, const Finish<bf16>&, bf16*,
                          cudaStream_t);

}  // namespace divs::kernels
