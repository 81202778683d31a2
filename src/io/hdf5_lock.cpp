#include "divs/io/hdf5_lock.hpp"

#include <sys/file.h>
#include <unistd.h>

#include "descriptor.hpp"
#include "hdf5_library.hpp"

namespace divs::io {

namespace fs = std::filesystem;
using hdf5::Entry;
using hdf5::Handle;

struct Hdf5LockTrial::Impl {
    fs::path path;
    std::string fault;
    Handle file;
};

Hdf5LockTrial::Hdf5LockTrial(const fs::path& file) : impl_(std::make_unique<Impl>()) {
    impl_->path = file;
    const Entry entry;
    const hid_t id = H5Fcreate(file.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    if (id < 0) {
        impl_->fault = hdf5::last_error();
        if (impl_->fault.empty()) impl_->fault = "no reason given";
    }
    impl_->file = Handle(id, H5Fclose);
}

Hdf5LockTrial::~Hdf5LockTrial() {
    const Entry entry;
    impl_->file.reset();
    ::unlink(impl_->path.c_str());
}

const std::string& Hdf5LockTrial::fault() const noexcept {
    return impl_->fault;
}

bool is_locked(const fs::path& path) {
    const Descriptor file(path, O_RDONLY);
    return file && ::flock(file.get(), LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

}  // namespace divs::io
