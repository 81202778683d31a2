#include <sys/resource.h>

#include <cstdlib>
#include <cstring>

#include "divs/core/process.hpp"
#include "support/catch.hpp"

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

namespace {

// Pages that the system mapped anew while frames came and went, as a shard's decoder takes and frees them.
long faults_of_a_shard() {
    constexpr int frames = 8;
    constexpr std::size_t bytes = std::size_t{8} << 20;
    rusage before{}, after{};
    getrusage(RUSAGE_SELF, &before);
    void* memory[frames];
    for (void*& frame : memory) {
        frame = std::malloc(bytes);
        REQUIRE(frame);
        std::memset(frame, 1, bytes);
    }
    for (void* frame : memory) std::free(frame);
    getrusage(RUSAGE_SELF, &after);
    return after.ru_minflt - before.ru_minflt;
}

}  // namespace

TEST_CASE("memory that one shard freed is there for the next without new pages") {
    divs::keep_freed_memory();
    faults_of_a_shard();
    CHECK(faults_of_a_shard() < 100);  // 16384 pages of 4 KB
}

#endif
