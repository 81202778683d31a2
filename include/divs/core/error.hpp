// Errors of one family. Each carries what was being done, what was expected, and the exit code of the program.
#pragma once

#include <fmt/core.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace divs {

// Exit codes of `divs`; scripts may rely on them.
enum class ExitCode : int {
    ok = 0,
    failure = 1,      // anything without a code of its own
    usage = 2,        // wrong command line or configuration
    input = 3,        // a file that cannot be read or is not what it should be
    storage = 4,      // a write that failed: disk full, no permission
    communication = 5,// a peer, or the MPI library, failed
    hang = 6,         // the watchdog saw no progress
    diverged = 7,     // the loss or a gradient is not finite
};

class Error : public std::runtime_error {
  public:
    explicit Error(const std::string& message, ExitCode code = ExitCode::failure)
        : std::runtime_error(message), code_(code) {}
    ExitCode code() const noexcept { return code_; }

  private:
    ExitCode code_;
};

// A command line or configuration value that cannot be used. The message names the key.
struct ConfigError : Error {
    explicit ConfigError(const std::string& message) : Error(message, ExitCode::usage) {}
};
// A file that is missing, damaged or of the wrong kind. The message names the file.
struct InputError : Error {
    explicit InputError(const std::string& message) : Error(message, ExitCode::input) {}
};
// A write that failed. The message names the file.
struct StorageError : Error {
    explicit StorageError(const std::string& message) : Error(message, ExitCode::storage) {}
};
// A failed MPI or NCCL call. The message names the call and the rank.
struct CommunicationError : Error {
    explicit CommunicationError(const std::string& message) : Error(message, ExitCode::communication) {}
};
// A loss or gradient that is not finite. The message names sample and layer.
struct DivergedError : Error {
    explicit DivergedError(const std::string& message) : Error(message, ExitCode::diverged) {}
};

// throw_error<InputError>("{}: {} streams, expected 1", path, n)
template <class E, class... Args>
[[noreturn]] void throw_error(fmt::format_string<Args...> format, Args&&... args) {
    throw E(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace divs
