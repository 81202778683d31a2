// The file in which earlier runs left which algorithm was the fastest: a line of JSON a choice, under a
// header that names what they were measured on. A file that is torn, foreign or of other versions counts as
// empty.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

namespace divs::nn::cuda {

class ConvCache {
  public:
    // `machine` names GPU and versions; choices of another are not used.
    ConvCache(std::filesystem::path file, std::string machine);

    std::optional<std::string> find(const std::string& key) const;
    // Keeps the choice and writes the file anew, whole or not at all, with what other processes put there
    // since. A file that cannot be written is said once, and then left alone.
    void add(const std::string& key, const std::string& algorithm);

  private:
    void read();

    std::filesystem::path file_;
    std::string machine_;
    std::map<std::string, std::string> choices_;
    bool writable_ = true;
};

}  // namespace divs::nn::cuda
