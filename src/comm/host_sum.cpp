// Buckets in host memory, summed over MPI.
#include <exception>
#include <string>
#include <utility>

#include "access.hpp"
#include "device_sum.hpp"
#include "reduce.hpp"
#include "subset.hpp"

namespace divs::comm {
namespace {

Task nothing() {
    co_return;
}

Task sum_among(Channel& channel, std::span<float> values, std::span<const int> ranks) {
    Subset subset(channel, ranks);
    co_await reduce(subset, values, [](float a, float b) { return a + b; });
}

class HostSum : public BucketSum {
  public:
    HostSum(World& world, std::span<float> gradients, std::vector<int> mpi_ranks)
        : world_(world),
          gradients_(gradients),
          ranks_(std::move(mpi_ranks)),
          exceptions_(std::uncaught_exceptions()) {}

    // The gradients may be freed next: nothing may still write to them.
    ~HostSum() override {
        if (works_.empty()) return;
        try {
            if (std::uncaught_exceptions() > exceptions_)
                world_.leave();
            else
                for (const Work& work : works_) work.wait();
        } catch (const std::exception&) {  // the one who waits for the next operation hears of it
        }
    }

    std::size_t size() const noexcept override { return gradients_.size(); }

    void post(Range bucket) override {
        const auto values = gradients_.subspan(bucket.begin, bucket.size());
        const std::string what = "bucket " + std::to_string(works_.size());
        works_.push_back(ranks_.empty() ? world_.sum(values, what)
                                        : WorldAccess::post(world_, what, [this, values](Channel& channel) {
                                              return sum_among(channel, values, ranks_);
                                          }));
        bytes_.push_back(values.size_bytes());
    }

    void join() override {
        for (const Work& work : works_) {
            work.wait();
            exposed_ += work.waited_seconds();
        }
        // Operations have the same numbers on all ranks.
        if (!ranks_.empty()) WorldAccess::post(world_, watch_name, [](Channel&) { return nothing(); });
    }

    Finished finish() override {
        Finished finished{std::exchange(exposed_, 0), {}};
        for (std::size_t i = 0; i < works_.size(); ++i)
            finished.timings.push_back({bytes_[i], works_[i].end_seconds() - works_[i].start_seconds()});
        works_.clear();
        bytes_.clear();
        return finished;
    }

  private:
    World& world_;
    std::span<float> gradients_;
    std::vector<int> ranks_;
    int exceptions_;
    std::vector<Work> works_;  // of the step
    std::vector<std::size_t> bytes_;
    double exposed_ = 0;
};

}  // namespace

std::unique_ptr<BucketSum> make_host_sum(World& world, std::span<float> gradients,
                                         std::vector<int> mpi_ranks) {
    return std::make_unique<HostSum>(world, gradients, std::move(mpi_ranks));
}

}  // namespace divs::comm
