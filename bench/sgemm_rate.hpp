// The rate of single-precision matrix products on this machine: the better of oneDNN's and, where it is
// installed, OpenBLAS's.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace divs::bench {

class SgemmRate {
  public:
    explicit SgemmRate(int threads);
    ~SgemmRate();

    // Each runs one large square product and returns its seconds.
    std::vector<std::function<double()>> candidates();
    // Given the seconds of each candidate: the best rate in FLOP/s, and whose it is.
    double best(const std::vector<double>& seconds);
    const std::string& best_name() const { return name_; }

  private:
    struct State;
    std::unique_ptr<State> state_;
    std::string name_;
};

}  // namespace divs::bench
