// Memory that starts at a cache line.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <vector>

namespace divs {

inline constexpr std::size_t cache_line = 64;

template <class T>
struct AlignedAllocator {
    using value_type = T;
    AlignedAllocator() = default;
    template <class U>
    AlignedAllocator(const AlignedAllocator<U>&) noexcept {}
    T* allocate(std::size_t n) {
        return static_cast<T*>(::operator new(n * sizeof(T), std::align_val_t(cache_line)));
    }
    void deallocate(T* at, std::size_t) noexcept { ::operator delete(at, std::align_val_t(cache_line)); }
    template <class U>
    bool operator==(const AlignedAllocator<U>&) const noexcept {
        return true;
    }
};

template <class T>
using AlignedBuffer = std::vector<T, AlignedAllocator<T>>;

}  // namespace divs
