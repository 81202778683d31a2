#include "kernels.hpp"

#include <cstdlib>
#include <string_view>

#include "divs/core/error.hpp"

namespace divs::nn::cpu {
namespace {

bool has_avx2() {
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    return false;
#endif
}

bool has_avx512() {
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
#else
    return false;
#endif
}

}  // namespace

const Kernels& kernels() {
    const char* named = std::getenv("DIVS_CPU_ISA");
    const std::string_view most = named ? named : "avx512";
    if (most != "avx512" && most != "avx2" && most != "generic")
        throw_error<ConfigError>("DIVS_CPU_ISA = \"{}\", expected avx512, avx2 or generic", most);
    if (most == "avx512" && has_avx512()) return avx512_kernels();
    if (most != "generic" && has_avx2()) return avx2_kernels();
    return generic_kernels();
}

}  // namespace divs::nn::cpu
