// divs info: what this program was built from and what it finds here.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "divs/comm/library.hpp"
#include "divs/core/build_info.hpp"
#include "divs/core/error.hpp"
#include "divs/io/hdf5.hpp"
#include "divs/nn/backend.hpp"
#include "divs/train/versions.hpp"
#include "divs/video/library.hpp"

namespace divs::cli {
namespace {

using Json = nlohmann::ordered_json;

// What a backend says of itself, or why it cannot be had.
std::string backend_text(const char* name) {
    try {
        return nn::make_backend(name, {})->description();
    } catch (const Error& e) {
        return std::string("not here: ") + e.what();
    }
}

Json collect() {
    const BuildInfo build = build_info();
    const video::LibraryInfo libav = video::library_info();
    Json info;
    info["divs"] = {{"version", build.version},
                    {"revision", build.revision},
                    {"compiler", build.compiler},
                    {"build", build.build_type}};
    for (const auto& [name, value] : machine_info()) info["machine"][name] = value;
    info["libraries"] = {{"MPI", comm::mpi_library()}, {"HDF5", io::hdf5_version()}, {"FFmpeg", libav.version},
                         {"libavcodec", libav.avcodec}, {"libavformat", libav.avformat},
                         {"FFmpeg's licence", libav.licence}};
    info["video"] = {{"decoders", libav.decoders}, {"encoders", libav.encoders}, {"hardware", libav.hardware}};
    for (const char* name : {"cpu", "cuda"}) info["backends"][name] = backend_text(name);
    return info;
}

std::string text_of(const Json& value) {
    if (value.is_string()) return value.get<std::string>();
    std::string words;
    for (const auto& word : value) words += (words.empty() ? "" : " ") + word.get<std::string>();
    return words.empty() ? "none" : words;
}

void print(const Json& info) {
    for (const auto& [section, facts] : info.items()) {
        std::cout << section << '\n';
        for (const auto& [name, value] : facts.items()) std::cout << fmt::format("  {:<17} {}\n", name, text_of(value));
    }
}

}  // namespace

std::string version_text() {
    const BuildInfo build = build_info();
    std::string text = fmt::format("divs {}, revision {}\n{} ({})", build.version, build.revision, build.compiler,
                                   build.build_type);
    for (const auto& [name, version] : train::library_versions())
        if (name != "divs") text += fmt::format("\n{} {}", name, version);
    return text;
}

void add_info(CLI::App& app, Common&) {
    CLI::App& command = *app.add_subcommand("info", "Versions of the program and its libraries, and what this machine has");
    auto json = std::make_shared<bool>(false);
    command.add_flag("--json", *json, "as JSON");
    command.callback([json] {
        require_one_process("info");
        if (*json)
            std::cout << collect().dump(2) << '\n';
        else
            print(collect());
    });
}

}  // namespace divs::cli
