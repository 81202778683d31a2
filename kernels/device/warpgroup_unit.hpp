// The instructions of sm_90a that the warp-specialised kernels use: barriers that count bytes, the tensor
// copy engine, and matrix products by a warpgroup. kernels/host/ holds the same names as the PTX manual
// defines their results.
#pragma once

#include <cstdint>

#include "matrix_unit.hpp"
#include "tensor_map.hpp"
#include "warpgroup_products.hpp"

namespace divs::kernels {

// In shared memory. A phase ends when `count` arrivals and all announced bytes have come.
struct Barrier {
    std::uint64_t word;
};

__device__ inline void start_barrier(Barrier* barrier, int count) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(count)
                 : "memory");
}
// Makes fresh barriers visible to the copy engine; the block's barrier must follow.
__device__ inline void publish_barriers() {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
__device__ inline void arrive(Barrier* barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
}
__device__ inline void arrive_expecting(Barrier* barrier, int bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)),
                 "r"(bytes)
                 : "memory");
}
// Waits for the end of the phase of this parity (0: the first).
__device__ inline void wait(Barrier* barrier, int parity) {
    asm volatile(
        "{\n.reg .pred done;\nagain:\n"
        "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
        "@!done bra again;\n}\n" ::"r"(shared_address(barrier)),
        "r"(parity)
        : "memory");
}

// One lane of a whole warp, of which the compiler knows that it is alone.
__device__ inline bool elected() {
    unsigned chosen;
    asm volatile(
        "{\n.reg .pred chosen;\nelect.sync _|chosen, 0xFFFFFFFF;\nselp.u32 %0, 1, 0, chosen;\n}\n"
        : "=r"(chosen));
    return chosen != 0;
}

// Copies of boxes into shared memory, counted in bytes by the barrier.
__device__ inline void load_box(void* to, const TensorMap* map, Barrier* barrier, int c0, int c1) {
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], "
        "[%2];" ::"r"(shared_address(to)),
        "l"(map), "r"(shared_address(barrier)), "r"(c0), "r"(c1)
        : "memory");
}
__device__ inline void load_box(void* to, const TensorMap* map, Barrier* barrier, int c0, int c1, int c2) {
    asm volatile(
        "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes "
        "[%0], [%1, {%3, %4, %5}], [%2];" ::"r"(shared_address(to)),
        "l"(map), "r"(shared_address(barrier)), "r"(c0), "r"(c1), "r"(c2)
        : "memory");
}
// Pixels in the order of im2col: (channel, w, h, image) of the first, and the tap's distance from it.
__device__ inline void load_pixels(void* to, const TensorMap* map, Barrier* barrier, int c, int w, int h,
                                   int n, int tap_w, int tap_h) {
    asm volatile(
        "cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes "
        "[%0], [%1, {%3, %4, %5, %6}], [%2], {%7, %8};" ::"r"(shared_address(to)),
        "l"(map), "r"(shared_address(barrier)), "r"(c), "r"(w), "r"(h), "r"(n),
        "h"(static_cast<unsigned short>(tap_w)), "h"(static_cast<unsigned short>(tap_h))
        : "memory");
}
// The same with a frame in its clip, and the frame's distance.
__device__ inline void load_pixels(void* to, const TensorMap* map, Barrier* barrier, int c, int w, int h,
                                   int t, int n, int tap_w, int tap_h, int tap_t) {
    asm volatile(
        "cp.async.bulk.tensor.5d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes "
        "[%0], [%1, {%3, %4, %5, %6, %7}], [%2], {%8, %9, %10};" ::"r"(shared_address(to)),
        "l"(map), "r"(shared_address(barrier)), "r"(c), "r"(w), "r"(h), "r"(t), "r"(n),
        "h"(static_cast<unsigned short>(tap_w)), "h"(static_cast<unsigned short>(tap_h)),
        "h"(static_cast<unsigned short>(tap_t))
        : "memory");
}

// Around asynchronous products: begin before the first that reads registers anew, commit a group, wait until
// at most Left groups are under way.
__device__ inline void begin_products() {
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ inline void commit_products() {
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
template <int Left>
__device__ inline void wait_products() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(Left) : "memory");
}

// Hands registers from the copying warpgroup to the computing ones.
template <int Registers>
__device__ inline void give_registers() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Registers));
}
template <int Registers>
__device__ inline void take_registers() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Registers));
}

}  // namespace divs::kernels
