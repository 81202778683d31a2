#include <sys/resource.h>
#include <sys/wait.h>

#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <numeric>
#include <thread>

#include "divs/core/error.hpp"
#include "divs/core/random.hpp"
#include "divs/io/hdf5.hpp"
#include "support/catch.hpp"
#include "support/scratch.hpp"

using namespace divs;
using namespace divs::io;
using Catch::Matchers::ContainsSubstring;
using test::Scratch;

namespace {

std::vector<float> floats(std::size_t count, std::uint64_t seed) {
    const Random random(seed, Stream::test);
    std::vector<float> values(count);
    for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<float>(random.normal(i));
    return values;
}

// One of everything.
void write_example(const std::filesystem::path& file) {
    Hdf5Writer out;
    out.write("weights/conv1.weight", floats(4 * 3 * 7 * 7, 1), {4, 3, 7, 7});
    out.write("weights/big", floats(700'001, 2), {700'001});
    out.write("weights/tracked", std::vector<std::int64_t>{-12345678901234}, {});
    out.write("empty", std::vector<float>{}, {0, 5});
    out.write("doubles", std::vector<double>{1e300, -0.0, 0.1}, {3});
    out.write("int32", std::vector<std::int32_t>{-1, 2}, {2, 1});
    out.write("pixels", std::vector<std::uint8_t>{0, 128, 255}, {1, 3});
    out.write("names", std::vector<std::string>{"car", "", "v\xC3\xA9lo"});
    out.write("no names", std::vector<std::string>{});
    out.group("deep/er");
    out.attribute("", "model", std::string(200'000, 'x'));  // more than an attribute of fixed length can hold
    out.attribute("", "none", "");
    out.attribute("weights/big", "step", std::int64_t{1} << 40);
    out.attribute("weights", "mean", std::vector<double>{0.485, 0.456});
    out.attribute("weights", "rate", 0.25);
    out.attribute("", "classes", std::vector<std::string>{"fight", "noFight"});
    out.save(file);
}

const std::filesystem::path& python() {
    static const std::filesystem::path found = [] {
        for (const char* name : {"/usr/bin/python3", "python3"})
            if (std::system((std::string(name) + " -c 'import h5py' >/dev/null 2>&1").c_str()) == 0)
                return std::filesystem::path(name);
        return std::filesystem::path();
    }();
    return found;
}

}  // namespace

TEST_CASE("HDF5: what was written is read back") {
    const Scratch scratch;
    write_example(scratch / "a.h5");
    const Hdf5Reader in(scratch / "a.h5");
    CHECK(in.sealed());
    CHECK(in.names() == std::vector<std::string>{"deep", "doubles", "empty", "int32", "names", "no names",
                                                 "pixels", "weights"});
    CHECK(in.names("weights") == std::vector<std::string>{"big", "conv1.weight", "tracked"});
    CHECK(in.dims("weights/conv1.weight") == Dims{4, 3, 7, 7});
    CHECK(in.floats("weights/conv1.weight") == floats(4 * 3 * 7 * 7, 1));
    CHECK(in.floats("weights/big") == floats(700'001, 2));
    CHECK(in.integers("weights/tracked") == std::vector<std::int64_t>{-12345678901234});
    CHECK(in.dims("weights/tracked").empty());
    CHECK(in.dims("empty") == Dims{0, 5});
    CHECK(in.floats("empty").empty());
    CHECK(in.doubles("doubles") == std::vector<double>{1e300, -0.0, 0.1});
    CHECK(in.integers("int32") == std::vector<std::int64_t>{-1, 2});
    CHECK(in.bytes("pixels") == std::vector<std::uint8_t>{0, 128, 255});
    CHECK(in.strings("names") == std::vector<std::string>{"car", "", "v\xC3\xA9lo"});
    CHECK(in.strings("no names").empty());
    CHECK(in.type("int32") == ElementType::int32);
    CHECK(in.type("names") == ElementType::string);
    CHECK(in.is_group("deep/er"));
    CHECK_FALSE(in.is_group("names"));
    CHECK_FALSE(in.has("deep/est"));
    CHECK(in.text("", "model").size() == 200'000);
    CHECK(in.text("/", "none").empty());
    CHECK(in.integer("weights/big", "step") == std::int64_t{1} << 40);
    CHECK(in.numbers("weights", "mean") == std::vector<double>{0.485, 0.456});
    CHECK(in.number("weights", "rate") == 0.25);
    CHECK(in.texts("", "classes") == std::vector<std::string>{"fight", "noFight"});
    CHECK(in.has_attribute("", "classes"));
    CHECK_FALSE(in.has_attribute("", "class"));
    std::vector<float> into(588);
    in.floats_into("weights/conv1.weight", into);
    CHECK(into == floats(588, 1));
}

TEST_CASE("HDF5: equal content gives equal files") {
    const Scratch scratch;
    write_example(scratch / "a.h5");
    write_example(scratch / "b.h5");
    CHECK(test::read_text(scratch / "a.h5") == test::read_text(scratch / "b.h5"));
}

TEST_CASE("HDF5: a wrong question is an error that names file and object") {
    const Scratch scratch;
    write_example(scratch / "a.h5");
    const Hdf5Reader in(scratch / "a.h5");
    CHECK_THROWS_WITH(in.floats("weights/nothing"), ContainsSubstring("a.h5") && ContainsSubstring("weights/nothing"));
    CHECK_THROWS_WITH(in.floats("names"), ContainsSubstring("holds text"));
    CHECK_THROWS_WITH(in.floats("int32"), ContainsSubstring("holds whole numbers, expected floating-point"));
    CHECK_THROWS_WITH(in.floats("weights"), ContainsSubstring("is not a dataset"));
    CHECK_THROWS_WITH(in.text("", "missing"), ContainsSubstring("missing"));
    std::vector<float> few(3);
    CHECK_THROWS_WITH(in.floats_into("weights/big", few), ContainsSubstring("700001 elements, expected 3"));
    Hdf5Writer out;
    CHECK_THROWS_AS(out.write("x", floats(5, 1), {2, 3}), Error);
    CHECK_THROWS_WITH(Hdf5Reader(scratch / "missing.h5"), ContainsSubstring("missing.h5"));
    CHECK_THROWS_WITH(Hdf5Reader(scratch.path()), ContainsSubstring("is a folder"));
    test::write_text(scratch / "empty.h5", "");
    CHECK_THROWS_AS(Hdf5Reader(scratch / "empty.h5"), InputError);
    test::write_text(scratch / "text.h5", std::string(5000, 'a'));
    CHECK_THROWS_AS(Hdf5Reader(scratch / "text.h5"), InputError);
}

TEST_CASE("HDF5: every truncation and every flipped bit of a sealed file is known before it is parsed") {
    const Scratch scratch;
    Hdf5Writer out;
    out.write("a/values", floats(50, 1), {50});
    out.attribute("a", "text", "some words");
    out.save(scratch / "a.h5");
    const std::string good = test::read_text(scratch / "a.h5");
    const auto damaged = scratch / "damaged.h5";
    for (std::size_t size = 1; size < good.size(); size += 1 + size / 7) {
        test::write_text(damaged, good.substr(0, size));
        CHECK(check_seal(damaged) != Seal::good);
    }
    const Random random(5, Stream::test);
    for (std::uint64_t trial = 0; trial < 300; ++trial) {
        std::string bad = good;
        const std::size_t at = trial < 64 ? trial * 8 : random.below(trial, good.size());
        bad[at] = static_cast<char>(bad[at] ^ (1 << random.below(1000 + trial, 8)));
        test::write_text(damaged, bad);
        INFO("byte " << at);
        CHECK(check_seal(damaged) == (at < 8 ? Seal::none : Seal::broken));
        if (at >= 8) CHECK_THROWS_WITH(Hdf5Reader(damaged), ContainsSubstring("damaged.h5") && ContainsSubstring("damaged:"));
    }
    test::write_text(damaged, good + "x");
    CHECK_THROWS_WITH(Hdf5Reader(damaged), ContainsSubstring("expected " + std::to_string(good.size())));
}

TEST_CASE("HDF5: a damaged file without a seal is survived, through a child process") {
    const Scratch scratch;
    write_example(scratch / "a.h5");
    std::string body = test::read_text(scratch / "a.h5");
    body.replace(0, 8, 8, '\0');  // a user block of somebody else: foreign from now on
    test::write_text(scratch / "foreign.h5", body);
    CHECK_FALSE(Hdf5Reader(scratch / "foreign.h5").sealed());
    CHECK(Hdf5Reader(scratch / "foreign.h5").floats("weights/big") == floats(700'001, 2));

    Hdf5Writer small;
    small.write("a/values", floats(50, 1), {50});
    small.write("names", std::vector<std::string>{"x", "yy"});
    small.save(scratch / "small.h5");
    body = test::read_text(scratch / "small.h5");
    body.replace(0, 8, 8, '\0');
    const Random random(6, Stream::test);
    int refused = 0;
    for (std::uint64_t trial = 0; trial < 120; ++trial) {
        std::string bad = body;
        for (std::uint64_t i = 0; i < 1 + trial % 4; ++i)
            bad[512 + random.below(trial * 8 + i, bad.size() - 512)] =
                static_cast<char>(random.bits(trial * 8 + 5 + i));
        if (trial % 10 == 0) bad.resize(512 + random.below(trial, bad.size() - 512));
        test::write_text(scratch / "bad.h5", bad);
        try {
            const Hdf5Reader in(scratch / "bad.h5");
            if (in.has("a/values")) in.floats("a/values");
            if (in.has("names")) in.strings("names");
        } catch (const InputError&) {
            ++refused;
        }
    }
    CHECK(refused > 10);
}

TEST_CASE("HDF5: a write that fails leaves the older file and nothing else") {
    const Scratch scratch;
    write_example(scratch / "a.h5");
    const std::string before = test::read_text(scratch / "a.h5");
    const pid_t child = ::fork();
    if (child == 0) {  // a limit on the size of files stands for a full disk
        ::signal(SIGXFSZ, SIG_IGN);
        const rlimit limit{100'000, 100'000};
        ::setrlimit(RLIMIT_FSIZE, &limit);
        try {
            write_example(scratch / "a.h5");
        } catch (const StorageError& e) {
            ::_exit(std::string(e.what()).find("a.h5") == std::string::npos ? 2 : 7);
        }
        ::_exit(1);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    CHECK(WEXITSTATUS(status) == 7);
    CHECK(test::read_text(scratch / "a.h5") == before);
    CHECK(std::distance(std::filesystem::directory_iterator(scratch.path()), {}) == 1);
    CHECK_THROWS_AS(write_example(scratch / "no/such/folder.h5"), StorageError);
}

TEST_CASE("HDF5: several threads read and write at once") {
    const Scratch scratch;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([&, t] {
            for (int round = 0; round < 5; ++round) {
                const auto file = scratch / (std::to_string(t) + ".h5");
                Hdf5Writer out;
                out.write("x", floats(1000, static_cast<std::uint64_t>(t)), {1000});
                out.save(file);
                if (Hdf5Reader(file).floats("x") != floats(1000, static_cast<std::uint64_t>(t))) std::abort();
            }
        });
    for (auto& thread : threads) thread.join();
    SUCCEED();
}

TEST_CASE("HDF5: h5dump and h5py read our files, checksums included") {
    const Scratch scratch;
    const auto file = scratch / "a.h5";
    write_example(file);
    if (std::system("h5dump --version >/dev/null 2>&1") == 0) {
        CHECK(std::system(
                  ("h5dump " + file.string() + " > " + (scratch / "dump").string() + " 2>&1").c_str()) == 0);
        CHECK_THAT(test::read_text(scratch / "dump"), ContainsSubstring("conv1.weight") && !ContainsSubstring("error"));
    } else {
        WARN("h5dump is not installed: skipped");
    }
    if (python().empty()) {
        WARN("no python3 with h5py: skipped");
        return;
    }
    test::write_text(scratch / "read.py",
                "import sys, json, h5py\n"
                "f = h5py.File(sys.argv[1])\n"
                "w = f['weights/conv1.weight']\n"
                "print(json.dumps({'shape': w.shape, 'type': str(w.dtype), 'fletcher': w.fletcher32,\n"
                "  'sum': float(w[()].astype('f8').sum()), 'tracked': int(f['weights/tracked'][()]),\n"
                "  'names': [n.decode() for n in f['names'][()]], 'model': len(f.attrs['model']),\n"
                "  'mean': list(f['weights'].attrs['mean']), 'classes': list(f.attrs['classes'])}))\n");
    const std::string command = python().string() + " " + (scratch / "read.py").string() + " " +
                                file.string() + " > " + (scratch / "out.json").string();
    REQUIRE(std::system(command.c_str()) == 0);
    const auto json = nlohmann::json::parse(test::read_text(scratch / "out.json"));
    const auto values = floats(588, 1);
    CHECK(json["shape"] == nlohmann::json::array({4, 3, 7, 7}));
    CHECK(json["type"] == "float32");
    CHECK(json["fletcher"] == true);
    CHECK(json["sum"].get<double>() ==
          Approx(std::accumulate(values.begin(), values.end(), 0.0)).margin(1e-6));
    CHECK(json["tracked"] == -12345678901234);
    CHECK(json["names"] == nlohmann::json::array({"car", "", "v\xC3\xA9lo"}));
    CHECK(json["model"] == 200'000);
    CHECK(json["classes"] == nlohmann::json::array({"fight", "noFight"}));
}

TEST_CASE("HDF5: files by others, valid and malformed, never crash the program") {
    const char* data = std::getenv("DIVS_DATA");
    if (!data) {
        WARN("DIVS_DATA is not set: skipped");
        return;
    }
    for (const std::string folder : {"hdf5-valid", "hdf5-malformed"}) {
        int opened = 0, refused = 0;
        for (const auto& entry :
             std::filesystem::directory_iterator(std::filesystem::path(data) / "conformance" / folder)) {
            if (!entry.is_regular_file() || entry.path().extension() == ".tsv") continue;
            INFO(entry.path().string());
            try {
                const Hdf5Reader in(entry.path());
                for (const auto& name : in.names())
                    if (in.has(name) && !in.is_group(name)) {
                        try {
                            in.floats(name);
                        } catch (const InputError&) {
                        }
                    }
                ++opened;
            } catch (const InputError& e) {
                CHECK_THAT(e.what(), ContainsSubstring(entry.path().filename().string()));
                ++refused;
            }
        }
        INFO(folder << ": opened " << opened << ", refused " << refused);
        CHECK(opened + refused > 0);
        if (folder == "hdf5-valid") CHECK(opened > refused);
    }
}
