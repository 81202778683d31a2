#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "divs/io/hdf5.hpp"
#include "hdf5_library.hpp"
#include "hdf5_types.hpp"

namespace divs::io {
namespace {

using hdf5::bad;
using hdf5::checked_count;
using hdf5::class_name;
using hdf5::dims_of;
using hdf5::Entry;
using hdf5::Handle;
using hdf5::Place;

// The most that a stored byte can stand for: deflate reaches 1032.
constexpr std::uint64_t most_compression = 1100;
constexpr std::uint64_t always_allowed = std::uint64_t{64}
                                         << 20;  // bytes of a dataset that was never written

herr_t collect_name(hid_t, const char* name, const H5L_info_t*, void* out) {
    static_cast<std::vector<std::string>*>(out)->emplace_back(name);
    return 0;
}

}  // namespace

struct Hdf5Reader::Impl {
    std::filesystem::path path;
    bool sealed = false;
    std::uint64_t file_bytes = 0;
    Handle file;

    ~Impl() {
        const Entry entry;
        file.reset();
    }

    Place place(std::string_view object) const { return {path.string(), std::string(object)}; }

    void open() {
        std::string why;
        const Seal seal = check_seal(path, &why);
        if (seal == Seal::broken) bad(place(""), "damaged: {}", why);
        sealed = seal == Seal::good;
        file_bytes = std::filesystem::file_size(path);
        if (!sealed) hdf5::read_in_child(path);
        open_here();
    }

    void open_here() {
        const Entry entry;
        file_bytes = std::filesystem::file_size(path);
        file = hdf5::check<InputError>(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose,
                                       place(""), "is not a readable HDF5 file");
    }

    // Follows hard links alone: others could lead to another file.
    bool exists(std::string_view name) const {
        std::string path_so_far;
        for (std::size_t at = 0; at < name.size();) {
            const std::size_t slash = std::min(name.find('/', at), name.size());
            if (slash > at) {
                path_so_far += "/" + std::string(name.substr(at, slash - at));
                H5L_info_t link{};
                if (H5Lexists(file.get(), path_so_far.c_str(), H5P_DEFAULT) <= 0 ||
                    H5Lget_info(file.get(), path_so_far.c_str(), &link, H5P_DEFAULT) < 0 ||
                    link.type != H5L_TYPE_HARD)
                    return false;
            }
            at = slash + 1;
        }
        return true;
    }

    Handle object(std::string_view name) const {
        if (!exists(name)) bad(place(name), "is not there");
        return hdf5::check<InputError>(
            H5Oopen(file.get(), name.empty() ? "/" : std::string(name).c_str(), H5P_DEFAULT), H5Oclose,
            place(name), "cannot be opened");
    }

    Handle dataset(std::string_view name) const {
        Handle found = object(name);
        if (H5Iget_type(found.get()) != H5I_DATASET) bad(place(name), "is not a dataset");
        const Handle properties = hdf5::check<InputError>(H5Dget_create_plist(found.get()), H5Pclose,
                                                          place(name), "its properties cannot be read");
        if (H5Pget_layout(properties.get()) == H5D_VIRTUAL || H5Pget_external_count(properties.get()) > 0)
            bad(place(name), "lies in another file, which is not followed");
        return found;
    }

    // What a read needs: the open dataset and its checked number of elements.
    struct Opened {
        Handle dataset, type, space;
        std::size_t count = 0;
    };
    Opened open_dataset(std::string_view name, std::size_t element_bytes) const {
        Opened out;
        out.dataset = dataset(name);
        out.type = hdf5::check<InputError>(H5Dget_type(out.dataset.get()), H5Tclose, place(name),
                                           "its type cannot be read");
        out.space = hdf5::check<InputError>(H5Dget_space(out.dataset.get()), H5Sclose, place(name),
                                            "its dimensions cannot be read");
        const std::uint64_t stored = std::max<std::uint64_t>(H5Tget_size(out.type.get()), 1);
        const std::uint64_t most = std::max(file_bytes * most_compression, always_allowed);
        out.count = checked_count(dims_of(out.space.get(), place(name)),
                                  std::max<std::uint64_t>(stored, element_bytes),
                                  most * std::max<std::uint64_t>(1, element_bytes / stored), place(name));
        return out;
    }

    void expect(const Opened& opened, H5T_class_t kind, const Place& where) const {
        const H5T_class_t found = H5Tget_class(opened.type.get());
        if (found != kind) bad(where, "holds {}, expected {}", class_name(found), class_name(kind));
    }

    template <class T>
    std::vector<T> numbers(std::string_view name, H5T_class_t kind, hid_t in_memory) const {
        const Opened opened = open_dataset(name, sizeof(T));
        expect(opened, kind, place(name));
        std::vector<T> values(opened.count);
        fill(opened, in_memory, values.data(), name);
        return values;
    }

    void fill(const Opened& opened, hid_t in_memory, void* values, std::string_view name) const {
        if (opened.count == 0) return;
        hdf5::check<InputError>(
            H5Dread(opened.dataset.get(), in_memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, values), place(name),
            "damaged, cannot be read");
    }

    struct OpenedAttribute {
        Handle attribute, type, space;
        std::size_t count = 0;
    };
    OpenedAttribute open_attribute(std::string_view name, std::string_view key, H5T_class_t kind) const {
        const Place where = place(std::string(name) + "@" + std::string(key));
        const Handle owner = object(name);
        OpenedAttribute out;
        if (H5Aexists(owner.get(), std::string(key).c_str()) <= 0) bad(where, "attribute is not there");
        out.attribute = hdf5::check<InputError>(H5Aopen(owner.get(), std::string(key).c_str(), H5P_DEFAULT),
                                                H5Aclose, where, "cannot be opened");
        out.type = hdf5::check<InputError>(H5Aget_type(out.attribute.get()), H5Tclose, where,
                                           "its type cannot be read");
        out.space = hdf5::check<InputError>(H5Aget_space(out.attribute.get()), H5Sclose, where,
                                            "its dimensions cannot be read");
        const H5T_class_t found = H5Tget_class(out.type.get());
        if (found != kind) bad(where, "holds {}, expected {}", class_name(found), class_name(kind));
        out.count =
            checked_count(dims_of(out.space.get(), where), H5Tget_size(out.type.get()), file_bytes, where);
        return out;
    }

    template <class T>
    std::vector<T> attribute(std::string_view name, std::string_view key, H5T_class_t kind,
                             hid_t in_memory) const {
        const OpenedAttribute opened = open_attribute(name, key, kind);
        std::vector<T> values(opened.count);
        if (opened.count)
            hdf5::check<InputError>(H5Aread(opened.attribute.get(), in_memory, values.data()),
                                    place(std::string(name) + "@" + std::string(key)), "cannot be read");
        return values;
    }

    template <class T>
    T only(std::vector<T> values, std::string_view name, std::string_view key) const {
        if (values.size() != 1)
            bad(place(std::string(name) + "@" + std::string(key)), "{} values, expected 1", values.size());
        return std::move(values.front());
    }
};

Hdf5Reader::Hdf5Reader(const std::filesystem::path& file) : impl_(std::make_unique<Impl>()) {
    impl_->path = file;
    impl_->open();
}
Hdf5Reader::Hdf5Reader(const std::filesystem::path& file, Unchecked) : impl_(std::make_unique<Impl>()) {
    impl_->path = file;
    impl_->open_here();
}
Hdf5Reader::~Hdf5Reader() = default;
Hdf5Reader::Hdf5Reader(Hdf5Reader&&) noexcept = default;
Hdf5Reader& Hdf5Reader::operator=(Hdf5Reader&&) noexcept = default;

const std::filesystem::path& Hdf5Reader::file() const noexcept {
    return impl_->path;
}
bool Hdf5Reader::sealed() const noexcept {
    return impl_->sealed;
}

std::vector<std::string> Hdf5Reader::names(std::string_view group) const {
    const Entry entry;
    const Handle found = impl_->object(group);
    if (H5Iget_type(found.get()) != H5I_GROUP) bad(impl_->place(group), "is not a group");
    std::vector<std::string> out;
    hdf5::check<InputError>(H5Literate(found.get(), H5_INDEX_NAME, H5_ITER_INC, nullptr, collect_name, &out),
                            impl_->place(group), "its members cannot be listed");
    std::sort(out.begin(), out.end());
    return out;
}

bool Hdf5Reader::has(std::string_view name) const {
    const Entry entry;
    return impl_->exists(name);
}

bool Hdf5Reader::is_group(std::string_view name) const {
    const Entry entry;
    return impl_->exists(name) && H5Iget_type(impl_->object(name).get()) == H5I_GROUP;
}

Dims Hdf5Reader::dims(std::string_view dataset) const {
    const Entry entry;
    return dims_of(impl_->open_dataset(dataset, 1).space.get(), impl_->place(dataset));
}

ElementType Hdf5Reader::type(std::string_view dataset) const {
    const Entry entry;
    return hdf5::element_type(impl_->open_dataset(dataset, 1).type.get());
}

std::vector<float> Hdf5Reader::floats(std::string_view dataset) const {
    const Entry entry;
    return impl_->numbers<float>(dataset, H5T_FLOAT, H5T_NATIVE_FLOAT);
}
std::vector<double> Hdf5Reader::doubles(std::string_view dataset) const {
    const Entry entry;
    return impl_->numbers<double>(dataset, H5T_FLOAT, H5T_NATIVE_DOUBLE);
}
std::vector<std::int64_t> Hdf5Reader::integers(std::string_view dataset) const {
    const Entry entry;
    return impl_->numbers<std::int64_t>(dataset, H5T_INTEGER, H5T_NATIVE_INT64);
}
std::vector<std::uint8_t> Hdf5Reader::bytes(std::string_view dataset) const {
    const Entry entry;
    return impl_->numbers<std::uint8_t>(dataset, H5T_INTEGER, H5T_NATIVE_UINT8);
}

std::vector<std::string> Hdf5Reader::strings(std::string_view dataset) const {
    const Entry entry;
    const auto opened = impl_->open_dataset(dataset, sizeof(char*));
    impl_->expect(opened, H5T_STRING, impl_->place(dataset));
    return hdf5::read_strings(opened.type.get(), opened.space.get(), opened.count, impl_->place(dataset),
                              [&](hid_t type, void* into) { impl_->fill(opened, type, into, dataset); });
}

void Hdf5Reader::floats_into(std::string_view dataset, std::span<float> values) const {
    const Entry entry;
    const auto opened = impl_->open_dataset(dataset, sizeof(float));
    impl_->expect(opened, H5T_FLOAT, impl_->place(dataset));
    if (opened.count != values.size())
        bad(impl_->place(dataset), "{} elements, expected {}", opened.count, values.size());
    impl_->fill(opened, H5T_NATIVE_FLOAT, values.data(), dataset);
}

bool Hdf5Reader::has_attribute(std::string_view object, std::string_view name) const {
    const Entry entry;
    return impl_->exists(object) && H5Aexists(impl_->object(object).get(), std::string(name).c_str()) > 0;
}

std::vector<std::string> Hdf5Reader::texts(std::string_view object, std::string_view name) const {
    const Entry entry;
    const auto opened = impl_->open_attribute(object, name, H5T_STRING);
    const Place where = impl_->place(std::string(object) + "@" + std::string(name));
    return hdf5::read_strings(
        opened.type.get(), opened.space.get(), opened.count, where, [&](hid_t type, void* into) {
            hdf5::check<InputError>(H5Aread(opened.attribute.get(), type, into), where, "cannot be read");
        });
}

std::string Hdf5Reader::text(std::string_view object, std::string_view name) const {
    return impl_->only(texts(object, name), object, name);
}
std::int64_t Hdf5Reader::integer(std::string_view object, std::string_view name) const {
    const Entry entry;
    return impl_->only(impl_->attribute<std::int64_t>(object, name, H5T_INTEGER, H5T_NATIVE_INT64), object,
                       name);
}
double Hdf5Reader::number(std::string_view object, std::string_view name) const {
    return impl_->only(numbers(object, name), object, name);
}
std::vector<double> Hdf5Reader::numbers(std::string_view object, std::string_view name) const {
    const Entry entry;
    return impl_->attribute<double>(object, name, H5T_FLOAT, H5T_NATIVE_DOUBLE);
}

}  // namespace divs::io
