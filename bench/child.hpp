// Programs that a benchmark starts and waits for.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace divs::bench {

// A started program. Its output goes to a file; it is ended with the object.
class Child {
  public:
    // Found on PATH. `cores`: that it may run on; empty: those of this process. Throws Error where it cannot
    // start.
    Child(const std::vector<std::string>& command, std::filesystem::path log,
          const std::vector<int>& cores = {});
    ~Child();
    Child(Child&& other) noexcept;
    Child& operator=(Child&&) = delete;

    bool running();
    int status() const noexcept {
        return status_;
    }                                // of one that ended; 128 + signal where a signal ended it
    std::string describe() const;    // the command, for messages
    std::string last_words() const;  // the end of its output

  private:
    std::vector<std::string> command_;
    std::filesystem::path log_;
    pid_t process_ = -1;
    int status_ = -1;
};

// Waits for all. Throws Error when one fails, when `seconds` are over, or when `stopped` says so; the others
// are ended.
void wait_for(std::vector<Child>& children, double seconds, const std::function<bool()>& stopped);

// The cores that this process may run on.
std::vector<int> own_cores();

}  // namespace divs::bench
