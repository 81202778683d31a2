// HDF5 files of ours. A file is built in memory and lands on the disk whole or not at all; it is plain HDF5
// (1.10 and later) for everybody else. Its first 512 bytes (HDF5's user block) carry a seal: length and hash
// of all the rest, so that a damaged file is known before the HDF5 library, which can crash on one, sees a
// byte of it.
//
// The library is entered by one thread at a time, whichever objects the threads hold.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace divs::io {

using Dims = std::vector<std::int64_t>;  // slowest first; empty: a scalar

// Objects are named by paths: "weights/conv1.weight"; groups on the way are made. "" or "/" is the file
// itself. Throws StorageError when the file cannot be written, Error when a call is wrong (values that do not
// fill dims).
class Hdf5Writer {
  public:
    Hdf5Writer();
    ~Hdf5Writer();
    Hdf5Writer(Hdf5Writer&&) noexcept;
    Hdf5Writer& operator=(Hdf5Writer&&) noexcept;

    // Chunked, with Fletcher-32 checksums that every reader verifies (a scalar is neither).
    void write(std::string_view name, std::span<const float> values, const Dims& dims);
    void write(std::string_view name, std::span<const double> values, const Dims& dims);
    void write(std::string_view name, std::span<const std::int64_t> values, const Dims& dims);
    void write(std::string_view name, std::span<const std::int32_t> values, const Dims& dims);
    void write(std::string_view name, std::span<const std::uint8_t> values, const Dims& dims);
    void write(std::string_view name, std::span<const std::byte> values);       // as uint8, one dimension
    void write(std::string_view name, const std::vector<std::string>& values);  // UTF-8, one dimension
    void group(std::string_view name);

    // On an object that exists already.
    void attribute(std::string_view object, std::string_view name, std::string_view value);
    void attribute(std::string_view object, std::string_view name, const char* value);
    void attribute(std::string_view object, std::string_view name, std::int64_t value);
    void attribute(std::string_view object, std::string_view name, double value);
    void attribute(std::string_view object, std::string_view name, std::span<const double> values);
    void attribute(std::string_view object, std::string_view name, const std::vector<std::string>& values);

    // Temporary file in the same folder, fsync, rename, fsync of the folder. On failure nothing new is left
    // behind and an older file of that name stays. The writer is empty afterwards.
    void save(const std::filesystem::path& file);

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

enum class ElementType { float32, float64, int64, int32, uint8, string, other };

// Throws InputError naming file and object: not there, damaged, of another type than asked for. Sizes are
// checked against the file before memory is taken.
class Hdf5Reader {
  public:
    // A file with a good seal is read here. One without a seal is foreign: a child process opens it and reads
    // all of it first, so that whatever it does to the library is an InputError and no crash.
    explicit Hdf5Reader(const std::filesystem::path& file);
    struct Unchecked {};  // for the child process: opens whatever it is
    Hdf5Reader(const std::filesystem::path& file, Unchecked);
    ~Hdf5Reader();
    Hdf5Reader(Hdf5Reader&&) noexcept;
    Hdf5Reader& operator=(Hdf5Reader&&) noexcept;

    const std::filesystem::path& file() const noexcept;
    bool sealed() const noexcept;

    std::vector<std::string> names(std::string_view group = "/") const;  // of its direct members, sorted
    bool has(std::string_view name) const;
    bool is_group(std::string_view name) const;
    Dims dims(std::string_view dataset) const;
    ElementType type(std::string_view dataset) const;

    // All elements, converted from the stored number type (integers are not read from floats or the reverse).
    std::vector<float> floats(std::string_view dataset) const;
    std::vector<double> doubles(std::string_view dataset) const;
    std::vector<std::int64_t> integers(std::string_view dataset) const;
    std::vector<std::uint8_t> bytes(std::string_view dataset) const;
    std::vector<std::string> strings(std::string_view dataset) const;
    void floats_into(std::string_view dataset, std::span<float> values) const;  // exactly that many

    bool has_attribute(std::string_view object, std::string_view name) const;
    std::string text(std::string_view object, std::string_view name) const;
    std::int64_t integer(std::string_view object, std::string_view name) const;
    double number(std::string_view object, std::string_view name) const;
    std::vector<double> numbers(std::string_view object, std::string_view name) const;
    std::vector<std::string> texts(std::string_view object, std::string_view name) const;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

enum class Seal { good, broken, none };  // broken: truncated or changed since it was written; why says which
Seal check_seal(const std::filesystem::path& file,
                std::string* why = nullptr);  // InputError where it cannot be read

std::string hdf5_version();  // of the library at run time: "1.10.8"

}  // namespace divs::io
