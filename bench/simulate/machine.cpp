// The machine under SimGrid's SMPI: ranks are contexts of one process that MPI calls switch between, so there
// are no threads, and waiting happens inside MPI, which moves the simulated clock on.
#include "machine.hpp"

#include <smpi/smpi.h>

#include <cstdlib>
#include <new>

namespace divs::bench {

Machine machine() {
    Machine machine{true, {}};
    machine.world.thread = false;
    machine.world.block = true;
    machine.world.timeout_seconds = 0;
    return machine;
}

Floats::Floats(std::size_t size, bool shared) : size_(size), shared_(shared) {
    const std::size_t bytes = size * sizeof(float);
    data_ = static_cast<float*>(shared ? SMPI_SHARED_MALLOC(bytes) : std::calloc(bytes, 1));
    if (!data_) throw std::bad_alloc();
}

Floats::~Floats() {
    shared_ ? smpi_shared_free(data_) : std::free(data_);
}

}  // namespace divs::bench
