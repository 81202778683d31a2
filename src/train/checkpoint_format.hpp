// What the checkpoint files share and nobody else needs.
#pragma once

#include <filesystem>
#include <string>

#include "divs/core/error.hpp"
#include "divs/io/hdf5.hpp"

namespace divs::train {

inline constexpr const char* best_name = "best.h5";

// A whole file of a later version: never passed over for an older one, which would undo work without a word.
struct NewerFormat : InputError {
    using InputError::InputError;
};

io::Hdf5Reader open_checkpoint(const std::filesystem::path& file);  // seal, kind and format are checked

}  // namespace divs::train
