// Work shared out over the compute threads of one rank.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstddef>

namespace divs::nn::cpu {

// Calls f(begin, end) on each thread with its part of [0, count). f must not throw.
template <class F>
void parallel_ranges(int threads, std::size_t count, F f) {
    const auto parts = std::min(static_cast<std::size_t>(std::max(threads, 1)), count);
    if (parts <= 1) {
        if (count > 0) f(std::size_t{0}, count);
        return;
    }
#pragma omp parallel num_threads(static_cast <int>(parts))
    {
        const auto team = static_cast<std::size_t>(omp_get_num_threads());
        const auto me = static_cast<std::size_t>(omp_get_thread_num());
        const std::size_t begin = count * me / team, end = count * (me + 1) / team;
        if (begin < end) f(begin, end);
    }
}

// Calls f(i) for every i of [0, count), shared out as above.
template <class F>
void parallel_for(int threads, std::size_t count, F f) {
    parallel_ranges(threads, count, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) f(i);
    });
}

// Calls f(begin, count) for parts of [0, elements) that begin on cache lines.
template <class F>
void parallel_lines(int threads, std::size_t elements, F f) {
    constexpr std::size_t line = 16;  // floats
    parallel_ranges(threads, (elements + line - 1) / line, [&](std::size_t begin, std::size_t end) {
        f(begin * line, std::min(end * line, elements) - begin * line);
    });
}

}  // namespace divs::nn::cpu
