// The double of the device itself: barriers, shuffles and votes mean what they mean on a GPU, and what is
// wrong on a GPU shows.
#include <memory>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "kernels/block.hpp"
#include "orders.hpp"

using namespace divs::kernels;
using Catch::Matchers::ContainsSubstring;
using divs::test::in_all_orders;

namespace {

// Reverses 256 numbers a block through shared memory; right only with its barrier.
template <bool Barrier>
__global__ void reverse_kernel(const int* from, int* to) {
    __shared__ int tile[256];
    tile[threadIdx.x] = from[blockIdx.x * 256 + threadIdx.x];
    if (Barrier) __syncthreads();
    to[blockIdx.x * 256 + threadIdx.x] = tile[255 - threadIdx.x];
}

template <bool Barrier>
std::vector<int> reversed() {
    std::vector<int> from(1024), to(1024, -1);
    std::iota(from.begin(), from.end(), 1);
    launch(4, 256, 0, nullptr, reverse_kernel<Barrier>, from.data(), to.data());
    return to;
}

__global__ void sums_kernel(const double* values, double* sums) {
    const double sum = block_sum<128>(values[blockIdx.x * 128 + threadIdx.x]);
    sums[blockIdx.x * 128 + threadIdx.x] = sum;
}

// Odd and even lanes take different ways, each with a shuffle and a vote of its own.
__global__ void divergent_kernel(int* sums, unsigned* votes) {
    const unsigned lane = threadIdx.x % 32, odd = lane & 1, mask = odd ? 0xAAAAAAAAU : 0x55555555U;
    int value = static_cast<int>(lane);
    if (odd) {
        for (int step = 16; step > 1; step /= 2) value += __shfl_xor_sync(mask, value, step);
        votes[threadIdx.x] = __ballot_sync(mask, lane > 16);
    } else {
        votes[threadIdx.x] = __ballot_sync(mask, lane < 8);
        for (int step = 16; step > 1; step /= 2) value += __shfl_xor_sync(mask, value, step);
    }
    sums[threadIdx.x] = value;
}

__global__ void half_barrier_kernel() {
    if (threadIdx.x < 32)
        __syncwarp();
    else
        __syncthreads();
    if (threadIdx.x == 0) __shfl_sync(all_lanes, 1, 0);  // the rest of its warp never comes
}

__global__ void shared_kernel(float* first) {
    float* memory = dynamic_shared<float>();
    first[blockIdx.x] = memory[0];
    __syncthreads();
    memory[threadIdx.x] = 1;
}

__global__ void count_kernel(unsigned* counter, float* sum) {
    atomicAdd(counter, 1U);
    atomicAdd(sum, 0.5F);
}

__global__ void throwing_kernel(std::shared_ptr<int> held) {
    if (threadIdx.x == 40) throw std::runtime_error("from a thread");
    const std::shared_ptr<int> mine = held;
    __syncthreads();
    ++*mine;
}

}  // namespace

TEST_CASE("A block's barrier holds in every order of threads, and a missing one is seen") {
    std::vector<int> expected;
    for (int block = 0; block < 4; ++block)
        for (int i = 256; i > 0; --i) expected.push_back(block * 256 + i);
    int wrong = 0;
    in_all_orders([&] {
        CHECK(reversed<true>() == expected);
        wrong += reversed<false>() != expected;
    });
    CHECK(wrong == 3);
}

TEST_CASE("Sums over warps and blocks") {
    std::vector<double> values(384), sums(384);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<double>(i * i % 101);
    in_all_orders([&] {
        launch(3, 128, 0, nullptr, sums_kernel, values.data(), sums.data());
        for (std::size_t i = 0; i < sums.size(); ++i) {
            const auto first = values.begin() + static_cast<std::ptrdiff_t>(i / 128 * 128);
            CHECK(sums[i] == std::accumulate(first, first + 128, 0.0));
        }
    });
}

TEST_CASE("Lanes that take different ways shuffle and vote among themselves") {
    std::vector<int> sums(64);
    std::vector<unsigned> votes(64);
    in_all_orders([&] {
        launch(1, 64, 0, nullptr, divergent_kernel, sums.data(), votes.data());
        for (std::size_t i = 0; i < 64; ++i) {
            CHECK(sums[i] == (i % 2 ? 256 : 240));
            CHECK(votes[i] == (i % 2 ? 0xAAAA0000U & ~0x10000U : 0x55U));
        }
    });
}

TEST_CASE("Threads that wait for each other for ever are an error, as is one thrown inside a kernel") {
    in_all_orders([] {
        CHECK_THROWS_WITH(launch(1, 64, 0, nullptr, half_barrier_kernel),
                          ContainsSubstring("wait for each other"));
        const auto held = std::make_shared<int>(0);
        CHECK_THROWS_WITH(launch(1, 64, 0, nullptr, throwing_kernel, held),
                          ContainsSubstring("from a thread"));
        CHECK(held.use_count() == 1);  // the threads that waited were ended, and freed what they had
        CHECK(*held == 0);
        CHECK(reversed<true>()[0] == 256);  // and the next kernel runs
    });
}

TEST_CASE("Dynamic shared memory is poisoned for each block") {
    std::vector<float> first(3, 0.0F);
    launch(3, 8, 32, nullptr, shared_kernel, first.data());
    for (const float value : first) CHECK(value != value);
}

TEST_CASE("Atomics count every thread") {
    unsigned counter = 0;
    float sum = 0;
    launch(dim3(3, 2), dim3(16, 4), 0, nullptr, count_kernel, &counter, &sum);
    CHECK(counter == 384);
    CHECK(sum == 192);
}

TEST_CASE("bfloat16 rounds to the nearest, ties to even") {
    CHECK(__float2bfloat16_rn(1.0F).bits == 0x3F80);
    CHECK(__float2bfloat16_rn(1.00390625F).bits == 0x3F80);  // a tie, down to even
    CHECK(__float2bfloat16_rn(1.01171875F).bits == 0x3F82);  // a tie, up to even
    CHECK(__float2bfloat16_rn(1.00391F).bits == 0x3F81);     // just above a tie
    CHECK(__float2bfloat16_rn(3.4e38F).bits == 0x7F80);      // beyond the largest: infinity
    CHECK(std::isnan(__bfloat162float(__float2bfloat16_rn(std::nanf("")))));
    CHECK(__bfloat162float(__float2bfloat16_rn(-2.5F)) == -2.5F);
}

TEST_CASE("What a stream records runs when its graph runs, as often as it runs") {
    cudaStream_t stream = nullptr;
    REQUIRE(cudaStreamCreateWithPriority(&stream, cudaStreamNonBlocking, 0) == cudaSuccess);
    unsigned counter = 0;
    float sum = 0;
    REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
    launch(1, 32, 0, stream, count_kernel, &counter, &sum);
    cudaGraph_t graph = nullptr;
    REQUIRE(cudaStreamEndCapture(stream, &graph) == cudaSuccess);
    CHECK(counter == 0);
    cudaGraphExec_t run = nullptr;
    REQUIRE(cudaGraphInstantiate(&run, graph, 0) == cudaSuccess);
    for (int i = 0; i < 3; ++i) REQUIRE(cudaGraphLaunch(run, stream) == cudaSuccess);
    CHECK(counter == 96);
    cudaGraphExecDestroy(run);
    cudaGraphDestroy(graph);
    cudaStreamDestroy(stream);
}
