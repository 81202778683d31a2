#include "divs/train/versions.hpp"

#include "divs/io/hdf5.hpp"
#include "divs/nn/backend.hpp"
#include "divs/video/library.hpp"

namespace divs::train {

comm::Versions library_versions() {
    const video::LibraryInfo libav = video::library_info();
    return comm::versions_here({{"HDF5", io::hdf5_version()},
                                {"FFmpeg", libav.version},
                                {"libavcodec", libav.avcodec},
                                {"libavformat", libav.avformat},
                                {"CPU backend", nn::make_backend("cpu", {})->description()}});
}

}  // namespace divs::train
