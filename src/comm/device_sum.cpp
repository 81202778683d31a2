#include "device_sum.hpp"

#include <exception>
#include <utility>

#include "access.hpp"
#include "channel.hpp"
#include "divs/core/error.hpp"
#include "reduce.hpp"
#include "subset.hpp"

namespace divs::comm {

DeviceSum::DeviceSum(World& world, std::span<float> gradients, std::shared_ptr<DeviceStream> stream,
                     PathPlan plan, std::shared_ptr<NcclCommunicator> nccl)
    : world_(world),
      gradients_(gradients),
      stream_(std::move(stream)),
      plan_(std::move(plan)),
      nccl_(std::move(nccl)),
      pinned_(plan_.uses_mpi(world.rank()) ? stream_->allocate_pinned(gradients.size()) : nullptr),
      exceptions_(std::uncaught_exceptions()),
      computed_(stream_->make_mark()),
      released_(stream_->make_mark()) {}

// Neither MPI nor the device may touch the gradients or the pinned memory any more.
DeviceSum::~DeviceSum() {
    try {
        if (std::uncaught_exceptions() > exceptions_) {
            if (!works_.empty()) world_.leave();
            broken_ = true;
        } else {
            for (const Work& work : works_) work.wait();
            watch_.wait();
        }
    } catch (const std::exception&) {  // the one who waits for the next operation hears of it
        broken_ = true;
    }
    if (nccl_ && !broken_) nccl_->close();
}

std::span<float> DeviceSum::device(const Bucket& bucket) const {
    return gradients_.subspan(bucket.range.begin, bucket.range.size());
}
std::span<float> DeviceSum::pinned(const Bucket& bucket) const {
    return pinned_->values().subspan(bucket.range.begin, bucket.range.size());
}

DeviceSum::Bucket& DeviceSum::next_bucket(Range range) {
    const std::size_t index = works_.size();
    if (index == buckets_.size()) {
        auto bucket = std::make_unique<Bucket>();
        bucket->name = "bucket " + std::to_string(index);
        for (auto* mark : {&bucket->ready, &bucket->start, &bucket->copied, &bucket->done})
            *mark = stream_->make_mark();
        buckets_.push_back(std::move(bucket));
    }
    buckets_[index]->range = range;
    return *buckets_[index];
}

// Aborting first: what hangs on the device for this rank's sake must not keep others from ending.
void DeviceSum::fail(const std::string& what, const std::exception& error, int code) {
    broken_ = true;
    if (nccl_) nccl_->abort();
    throw Error(fmt::format("{}: {}", what, error.what()), static_cast<ExitCode>(code));
}

void DeviceSum::begin_copy(Bucket& bucket) {
    stream_->copy_to_host(pinned(bucket), device(bucket));
    stream_->mark(*bucket.copied);
}

void DeviceSum::post(Range range) {
    Bucket& bucket = next_bucket(range);
    try {
        stream_->mark_compute(*bucket.ready);
        // Where nothing comes before the copy, it goes ahead of its turn: it needs no other rank.
        if (!nccl_) {
            stream_->wait_for(*bucket.ready);
            begin_copy(bucket);
        }
    } catch (const Error& e) {
        fail(bucket.name, e, static_cast<int>(e.code()));
    }
    works_.push_back(WorldAccess::post(world_, bucket.name, [this, &bucket](Channel& channel) {
        return named(bucket.name, sum(channel, bucket));
    }));
}

Task DeviceSum::named(std::string what, Task work) {
    try {
        co_await work;
    } catch (const Error& e) {
        fail(what, e, static_cast<int>(e.code()));
    }
}

// Until NCCL takes the next call.
Task DeviceSum::accept(Channel& channel) {
    while (!nccl_->accepted()) co_await channel.pause();
    channel.count_progress();
}

// Queues the bucket's sum; with MPI in it, comes back when that is done. Ranks run this for the same bucket
// under the same number, so NCCL's calls have one order on all ranks.
Task DeviceSum::sum(Channel& channel, Bucket& bucket) {
    if (nccl_) {
        stream_->wait_for(*bucket.ready);
        stream_->mark(*bucket.start);
    }
    if (nccl_ && plan_.mpi_ranks.empty()) {
        nccl_->all_reduce(device(bucket));
        co_await accept(channel);
    } else {
        const int leader = 0;  // among the NCCL ranks
        if (nccl_) {
            nccl_->reduce(device(bucket), leader);
            co_await accept(channel);
        }
        if (pinned_) co_await sum_over_mpi(channel, bucket);
        if (nccl_) {
            nccl_->broadcast(device(bucket), leader);
            co_await accept(channel);
        }
    }
    stream_->mark(*bucket.done);
}

Task DeviceSum::sum_over_mpi(Channel& channel, Bucket& bucket) {
    if (nccl_) begin_copy(bucket);
    while (!stream_->reached(*bucket.copied)) {
        if (nccl_) nccl_->accepted();  // throws where a peer failed
        co_await channel.pause();
    }
    channel.count_progress();
    Subset subset(channel, plan_.mpi_ranks);
    co_await reduce(subset, pinned(bucket), [](float a, float b) { return a + b; });
    stream_->copy_to_device(device(bucket), pinned(bucket));
}

// While the device works off what was queued: sees a peer fail, and lets the watchdog see a hang.
Task DeviceSum::watch(Channel& channel) {
    while (!stream_->reached(*released_)) {
        if (nccl_) nccl_->accepted();
        co_await channel.pause();
    }
    if (nccl_) nccl_->accepted();
}

void DeviceSum::join() {
    for (const Work& work : works_) work.wait();
    try {
        stream_->mark_compute(*computed_);
        if (!works_.empty()) stream_->compute_waits_for(*buckets_[works_.size() - 1]->done);
        stream_->mark_compute(*released_);
    } catch (const Error& e) {
        fail("end of backward", e, static_cast<int>(e.code()));
    }
    watch_ = WorldAccess::post(world_, watch_name,
                               [this](Channel& channel) { return named(watch_name, watch(channel)); });
}

// Where the device is seen to be through, its own thread need not be waited for: it sleeps now and then.
// Whoever aborts says so before the device can be through.
BucketSum::Finished DeviceSum::finish() {
    if (!stream_->reached(*released_) || broken_) watch_.wait();
    Finished finished{stream_->seconds_between(*computed_, *released_), {}};
    for (std::size_t i = 0; i < works_.size(); ++i) {
        const Bucket& bucket = *buckets_[i];
        // The device's own time tells more, but not of MPI.
        const double seconds = pinned_ ? works_[i].end_seconds() - works_[i].start_seconds()
                                       : stream_->seconds_between(*bucket.start, *bucket.done);
        finished.timings.push_back({device(bucket).size_bytes(), seconds});
    }
    works_.clear();
    return finished;
}

}  // namespace divs::comm
