// The file in which earlier runs left which algorithm was the fastest: a line of JSON a choice, with what it
// was measured on, under a header. A file that is torn or foreign counts as empty.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>

namespace divs::nn::cuda {

class ConvCache {
  public:
    // `machine` names GPU, versions and settings; choices of others are not used, and kept.
    ConvCache(std::filesystem::path file, std::string machine);

    std::optional<std::string> find(const std::string& key) const;
    // Keeps the choice and writes the file anew, whole or not at all, with what other processes put there
    // since. A file that cannot be written is said once, and then left alone.
    void add(const std::string& key, const std::string& algorithm);

  private:
    void read();

    std::filesystem::path file_;
    std::string machine_;
    std::map<std::pair<std::string, std::string>, std::string> choices_;  // by machine and problem
    bool writable_ = true;
};

}  // namespace divs::nn::cuda
