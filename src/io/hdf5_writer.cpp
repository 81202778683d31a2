#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "divs/io/atomic_file.hpp"
#include "divs/io/bytes.hpp"
#include "divs/io/hdf5.hpp"
#include "hdf5_library.hpp"

namespace divs::io {
namespace {

using hdf5::Entry;
using hdf5::Handle;
using hdf5::Place;

constexpr std::size_t image_step = std::size_t{1} << 22;  // bytes by which the image in memory grows
constexpr std::int64_t chunk_elements = std::int64_t{1} << 18;

Handle make(hid_t id, herr_t (*close)(hid_t), std::string_view object, std::string_view what) {
    return hdf5::check<Error>(id, close, {"HDF5 image", std::string(object)}, what);
}
void make(herr_t status, std::string_view object, std::string_view what) {
    hdf5::check<Error>(status, {"HDF5 image", std::string(object)}, what);
}

Handle space_of(const Dims& dims, std::string_view name) {
    if (dims.empty()) return make(H5Screate(H5S_SCALAR), H5Sclose, name, "no data space");
    const std::vector<hsize_t> extent(dims.begin(), dims.end());
    return make(H5Screate_simple(static_cast<int>(extent.size()), extent.data(), nullptr), H5Sclose, name,
                "no data space");
}

Handle string_type() {
    Handle type = make(H5Tcopy(H5T_C_S1), H5Tclose, "", "no string type");
    make(H5Tset_size(type.get(), H5T_VARIABLE), "", "no string type");
    make(H5Tset_cset(type.get(), H5T_CSET_UTF8), "", "no string type");
    return type;
}

// Chunks of about a megabyte, cut along the slowest dimensions, so that a row of them is contiguous in
// memory.
std::vector<hsize_t> chunk_of(const Dims& dims) {
    std::vector<hsize_t> chunk(dims.size(), 1);
    std::int64_t room = chunk_elements;
    for (std::size_t i = dims.size(); i-- > 0 && room > 1;) {
        const std::int64_t most = std::clamp<std::int64_t>(dims[i], 1, room);
        const std::int64_t pieces = (dims[i] + most - 1) / most;
        chunk[i] = static_cast<hsize_t>((dims[i] + pieces - 1) /
                                        pieces);  // alike, so that the last is not mostly empty
        room /= most;
    }
    return chunk;
}

// Without times of creation, equal content gives equal files.
Handle dataset_properties(hid_t stored, const Dims& dims, std::string_view name) {
    Handle properties = make(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, name, "no properties");
    make(H5Pset_obj_track_times(properties.get(), false), name, "no properties");
    const bool is_empty = std::find(dims.begin(), dims.end(), 0) != dims.end();
    const bool is_fixed = H5Tis_variable_str(stored) <= 0;  // the library checks no texts: they lie elsewhere
    if (is_fixed) make(H5Pset_fill_time(properties.get(), H5D_FILL_TIME_NEVER), name, "no properties");
    if (!dims.empty() && !is_empty && is_fixed) {
        const auto chunk = chunk_of(dims);
        make(H5Pset_chunk(properties.get(), static_cast<int>(chunk.size()), chunk.data()), name, "no chunks");
        make(H5Pset_fletcher32(properties.get()), name, "no checksum");
    }
    return properties;
}

std::size_t element_count(const Dims& dims) {
    std::size_t count = 1;
    for (const auto extent : dims) {
        if (extent < 0) throw_error<Error>("HDF5 dimension {}, expected at least 0", extent);
        count *= static_cast<std::size_t>(extent);
    }
    return count;
}

}  // namespace

struct Hdf5Writer::Impl {
    Handle access, file;

    Impl() { open(); }
    ~Impl() {
        const Entry entry;
        file.reset();
        access.reset();
    }

    void open() {
        const Entry entry;
        access = make(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, "", "no properties");
        make(H5Pset_fapl_core(access.get(), image_step, false), "", "no image in memory");
        const Handle creation = make(H5Pcreate(H5P_FILE_CREATE), H5Pclose, "", "no properties");
        make(H5Pset_userblock(creation.get(), hdf5::user_block_bytes), "", "no user block");
        make(H5Pset_obj_track_times(creation.get(), false), "", "no properties");
        const std::string name =
            fmt::format("divs image {}", fmt::ptr(this));  // no two open ones of one name
        file = make(H5Fcreate(name.c_str(), H5F_ACC_TRUNC, creation.get(), access.get()), H5Fclose, "",
                    "no image");
    }

    Handle link_properties() const {
        Handle links = make(H5Pcreate(H5P_LINK_CREATE), H5Pclose, "", "no properties");
        make(H5Pset_create_intermediate_group(links.get(), 1), "", "no properties");
        make(H5Pset_char_encoding(links.get(), H5T_CSET_UTF8), "", "no properties");
        return links;
    }

    void write(std::string_view name, hid_t stored, hid_t in_memory, const void* values, const Dims& dims) {
        const std::string path(name);
        const Handle space = space_of(dims, name);
        const Handle links = link_properties();
        const Handle properties = dataset_properties(stored, dims, name);
        const Handle dataset = make(H5Dcreate2(file.get(), path.c_str(), stored, space.get(), links.get(),
                                               properties.get(), H5P_DEFAULT),
                                    H5Dclose, name, "cannot be added");
        make(H5Dwrite(dataset.get(), in_memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, values), name,
             "cannot be filled");
    }

    template <class T>
    void numbers(std::string_view name, hid_t stored, hid_t in_memory, std::span<const T> values,
                 const Dims& dims) {
        if (element_count(dims) != values.size())
            throw_error<Error>("HDF5 dataset \"{}\": {} values for {} elements", name, values.size(),
                               element_count(dims));
        const T none{};
        write(name, stored, in_memory, values.empty() ? &none : values.data(), dims);
    }

    void attribute(std::string_view object, std::string_view name, hid_t type, const Dims& dims,
                   const void* value) {
        const std::string path(object.empty() ? "/" : object), key(name);
        const Handle owner = make(H5Oopen(file.get(), path.c_str(), H5P_DEFAULT), H5Oclose, object,
                                  "is not there for attribute " + key);
        const Handle space = space_of(dims, name);
        const Handle attribute =
            make(H5Acreate2(owner.get(), key.c_str(), type, space.get(), H5P_DEFAULT, H5P_DEFAULT), H5Aclose,
                 object, "attribute " + key + " cannot be added");
        make(H5Awrite(attribute.get(), type, value), object, "attribute " + key + " cannot be written");
    }

    // The file's bytes after the user block; valid until the file changes. The core driver hands out its own
    // memory, which spares a second copy of the state.
    std::span<const std::byte> body() const {
        make(H5Fflush(file.get(), H5F_SCOPE_GLOBAL), "", "cannot be completed");
        const ssize_t bytes = H5Fget_file_image(file.get(), nullptr, 0);
        void* memory = nullptr;
        make(H5Fget_vfd_handle(file.get(), access.get(), &memory), "", "its memory cannot be had");
        if (bytes <= 0 || !memory) hdf5::fail<Error>({"HDF5 image", ""}, "its size cannot be had");
        const auto* image = *static_cast<const std::byte* const*>(memory);
        return {image + hdf5::user_block_bytes, static_cast<std::size_t>(bytes)};
    }
};

Hdf5Writer::Hdf5Writer() : impl_(std::make_unique<Impl>()) {}
Hdf5Writer::~Hdf5Writer() = default;
Hdf5Writer::Hdf5Writer(Hdf5Writer&&) noexcept = default;
Hdf5Writer& Hdf5Writer::operator=(Hdf5Writer&&) noexcept = default;

void Hdf5Writer::write(std::string_view name, std::span<const float> values, const Dims& dims) {
    const Entry entry;
    impl_->numbers(name, H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, values, dims);
}
void Hdf5Writer::write(std::string_view name, std::span<const double> values, const Dims& dims) {
    const Entry entry;
    impl_->numbers(name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, values, dims);
}
void Hdf5Writer::write(std::string_view name, std::span<const std::int64_t> values, const Dims& dims) {
    const Entry entry;
    impl_->numbers(name, H5T_STD_I64LE, H5T_NATIVE_INT64, values, dims);
}
void Hdf5Writer::write(std::string_view name, std::span<const std::int32_t> values, const Dims& dims) {
    const Entry entry;
    impl_->numbers(name, H5T_STD_I32LE, H5T_NATIVE_INT32, values, dims);
}
void Hdf5Writer::write(std::string_view name, std::span<const std::uint8_t> values, const Dims& dims) {
    const Entry entry;
    impl_->numbers(name, H5T_STD_U8LE, H5T_NATIVE_UINT8, values, dims);
}
void Hdf5Writer::write(std::string_view name, std::span<const std::byte> values) {
    write(name, std::span(reinterpret_cast<const std::uint8_t*>(values.data()), values.size()),
          {static_cast<std::int64_t>(values.size())});
}

void Hdf5Writer::write(std::string_view name, const std::vector<std::string>& values) {
    const Entry entry;
    std::vector<const char*> pointers{nullptr};
    if (!values.empty()) pointers.clear();
    for (const auto& value : values) pointers.push_back(value.c_str());
    const Handle type = string_type();
    impl_->write(name, type.get(), type.get(), pointers.data(), {static_cast<std::int64_t>(values.size())});
}

void Hdf5Writer::group(std::string_view name) {
    const Entry entry;
    const Handle links = impl_->link_properties();
    const Handle properties = make(H5Pcreate(H5P_GROUP_CREATE), H5Pclose, name, "no properties");
    make(H5Pset_obj_track_times(properties.get(), false), name, "no properties");
    make(H5Gcreate2(impl_->file.get(), std::string(name).c_str(), links.get(), properties.get(), H5P_DEFAULT),
         H5Gclose, name, "cannot be added");
}

void Hdf5Writer::attribute(std::string_view object, std::string_view name, std::string_view value) {
    const Entry entry;
    const std::string text(value);
    const char* pointer = text.c_str();
    const Handle type = string_type();
    impl_->attribute(object, name, type.get(), {}, &pointer);
}
void Hdf5Writer::attribute(std::string_view object, std::string_view name, const char* value) {
    attribute(object, name, std::string_view(value));
}
void Hdf5Writer::attribute(std::string_view object, std::string_view name, std::int64_t value) {
    const Entry entry;
    impl_->attribute(object, name, H5T_NATIVE_INT64, {}, &value);
}
void Hdf5Writer::attribute(std::string_view object, std::string_view name, double value) {
    const Entry entry;
    impl_->attribute(object, name, H5T_NATIVE_DOUBLE, {}, &value);
}
void Hdf5Writer::attribute(std::string_view object, std::string_view name, std::span<const double> values) {
    const Entry entry;
    impl_->attribute(object, name, H5T_NATIVE_DOUBLE, {static_cast<std::int64_t>(values.size())},
                     values.data());
}
void Hdf5Writer::attribute(std::string_view object, std::string_view name,
                           const std::vector<std::string>& values) {
    const Entry entry;
    std::vector<const char*> pointers;
    for (const auto& value : values) pointers.push_back(value.c_str());
    pointers.push_back(nullptr);  // so that there is memory to point at when there are none
    const Handle type = string_type();
    impl_->attribute(object, name, type.get(), {static_cast<std::int64_t>(values.size())}, pointers.data());
}

void Hdf5Writer::save(const std::filesystem::path& file) {
    std::span<const std::byte> body;
    {
        const Entry entry;
        body = impl_->body();
    }
    Hash64 hash;  // without the library's lock from here on: a slow disk must not stop other threads

    hash.add(body);
    const std::string block = hdf5::make_user_block(hdf5::user_block_bytes + body.size(), hash.value());
    const std::array pieces{std::as_bytes(std::span(block.data(), block.size())), body};
    write_atomically(file, pieces);
    impl_ = std::make_unique<Impl>();
}

}  // namespace divs::io
