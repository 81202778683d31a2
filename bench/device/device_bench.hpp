// Benchmarks of the CUDA backend on the GPU at hand, without the rest of the program: no video, MPI or HDF5. One file
// each; every add_NAME() declares one subcommand.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "cuda/device.hpp"

namespace divs::bench {

// Runs `work` on the first GPU and ends the program with the code that it gives; with 77 and "no GPU here" where there
// is none.
[[noreturn]] void run_on_device(const std::function<int(const nn::cuda::Device&)>& work);

// Prints "NAME VALUE >= GOAL met", or "missed".
void goal(const std::string& name, double value, double least);

void add_check(CLI::App& app);
void add_convolutions(CLI::App& app);
void add_memory(CLI::App& app);

}  // namespace divs::bench
