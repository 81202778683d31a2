// Buckets in host memory: as messages over MPI, or in memory that the ranks share.
#include <exception>
#include <functional>
#include <string>
#include <utility>

#include "access.hpp"
#include "divs/comm/bucket_sum.hpp"
#include "reduce.hpp"
#include "shared_sum.hpp"
#include "subset.hpp"

namespace divs::comm {
namespace {

constexpr auto add = [](float a, float b) { return a + b; };

Task sum_among(Channel& channel, std::span<float> values, std::span<const int> ranks) {
    Subset subset(channel, ranks);
    co_await reduce(subset, values, add);
}

class HostSum : public BucketSum {
  public:
    using SumRange = std::function<Task(Channel&, Range)>;

    HostSum(World& world, std::size_t size, SumRange sum)
        : world_(world), size_(size), sum_(std::move(sum)), exceptions_(std::uncaught_exceptions()) {}

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

    std::size_t size() const noexcept override { return size_; }

    void post(Range bucket) override {
        const std::string what = "bucket " + std::to_string(works_.size());
        works_.push_back(WorldAccess::post(
            world_, what, [this, bucket](Channel& channel) { return sum_(channel, bucket); }));
        bytes_.push_back(bucket.size() * sizeof(float));
    }

    void join(std::span<double>) override {
        for (std::size_t i = 0; i < works_.size(); ++i) {
            const Work& work = works_[i];
            work.wait();
            joined_.exposed += work.waited_seconds();
            joined_.timings.push_back({bytes_[i], work.end_seconds() - work.start_seconds()});
        }
        works_.clear();
        bytes_.clear();
    }

    Finished finish() override { return std::exchange(joined_, {}); }

  private:
    World& world_;
    std::size_t size_;
    SumRange sum_;
    int exceptions_;
    std::vector<Work> works_;  // of the step that is being posted
    std::vector<std::size_t> bytes_;
    Finished joined_;
};

}  // namespace

std::unique_ptr<BucketSum> make_host_sum(World& world, std::span<float> gradients,
                                         std::vector<int> mpi_ranks) {
    const auto sum = [gradients, ranks = std::move(mpi_ranks)](Channel& channel, Range bucket) {
        const auto values = gradients.subspan(bucket.begin, bucket.size());
        return ranks.empty() ? reduce(channel, values, add) : sum_among(channel, values, ranks);
    };
    return std::make_unique<HostSum>(world, gradients.size(), sum);
}

std::unique_ptr<BucketSum> make_shared_sum(World& world, std::shared_ptr<const SharedMemory> memory) {
    const std::size_t size = memory->part(0).size();
    const auto sum = std::make_shared<SharedSum>(std::move(memory));
    return std::make_unique<HostSum>(
        world, size, [sum](Channel& channel, Range bucket) { return sum->add_up(channel, bucket); });
}

}  // namespace divs::comm
