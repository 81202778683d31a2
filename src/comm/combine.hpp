// Adding up what arrives.
#pragma once

#include <cstddef>
#include <span>
#include <type_traits>

#include "channel.hpp"

namespace divs::comm {

// into[i] = operation(into[i], from[i]).
template <class T, class Operation>
void combine(Channel& channel, std::span<T> into, const T* from, Operation operation) {
    if (channel.adds() || !std::is_same_v<T, float>)
        for (std::size_t i = 0; i < into.size(); ++i) into[i] = operation(into[i], from[i]);
    channel.combined(into.size_bytes());
}

}  // namespace divs::comm
