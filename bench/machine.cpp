#include "machine.hpp"

#include <cstdlib>
#include <new>

namespace divs::bench {

Machine machine() {
    return {};
}

Floats::Floats(std::size_t size, bool)
    : data_(static_cast<float*>(std::calloc(size, sizeof(float)))), size_(size), shared_(false) {
    if (!data_) throw std::bad_alloc();
}

Floats::~Floats() {
    std::free(data_);
}

}  // namespace divs::bench
