#include "device_sum.hpp"

#include <algorithm>
#include <exception>
#include <utility>

#include "access.hpp"
#include "channel.hpp"
#include "divs/core/error.hpp"
#include "reduce.hpp"
#include "subset.hpp"

namespace divs::comm {
namespace {

constexpr const char* values_name = "norm statistics";
constexpr const char* end_name = "end of backward";
constexpr const char* watch_name = "buckets on their devices";

}  // namespace

DeviceSum::DeviceSum(World& world, std::span<float> gradients, std::shared_ptr<DeviceStream> stream,
                     PathPlan plan, std::shared_ptr<NcclCommunicator> nccl)
    : world_(world),
      gradients_(gradients),
      stream_(std::move(stream)),
      plan_(std::move(plan)),
      nccl_(std::move(nccl)),
      pinned_(plan_.uses_mpi(world.rank()) ? stream_->allocate_pinned(gradients.size()) : nullptr),
      exceptions_(std::uncaught_exceptions()) {
    for (Step& step : steps_)
        for (auto* mark : {&step.computed, &step.summed, &step.released}) *mark = stream_->make_mark();
}

// Neither MPI nor the device may touch the gradients or the pinned memory any more.
DeviceSum::~DeviceSum() {
    try {
        if (std::uncaught_exceptions() > exceptions_) {
            if (std::ranges::any_of(steps_, [](const Step& step) { return !step.works.empty(); }))
                world_.leave();
            broken_ = true;
        } else {
            for (const Step& step : steps_) {
                for (const Work& work : step.works) work.wait();
                step.watch.wait();
            }
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
    Step& step = posting();
    const std::size_t index = step.works.size();
    if (index == step.buckets.size()) {
        auto bucket = std::make_unique<Bucket>();
        bucket->name = "bucket " + std::to_string(index);
        for (auto* mark : {&bucket->ready, &bucket->start, &bucket->copied, &bucket->done})
            *mark = stream_->make_mark();
        step.buckets.push_back(std::move(bucket));
    }
    step.buckets[index]->range = range;
    return *step.buckets[index];
}

DeviceSum::Values& DeviceSum::next_values() {
    Step& step = posting();
    if (step.sums == step.values.size()) step.values.push_back({stream_->make_mark(), stream_->make_mark()});
    return step.values[step.sums++];
}

// Aborting first: what hangs on the device for this rank's sake must not keep others from ending.
void DeviceSum::fail(const std::string& what, const std::exception& error, int code) {
    broken_ = true;
    if (nccl_) nccl_->abort();
    throw Error(fmt::format("{}: {}", what, error.what()), static_cast<ExitCode>(code));
}

template <class Calls>
void DeviceSum::guard(const std::string& what, Calls calls) {
    try {
        calls();
    } catch (const Error& e) {
        fail(what, e, static_cast<int>(e.code()));
    }
}

void DeviceSum::begin_copy(Bucket& bucket) {
    stream_->copy_to_host(pinned(bucket), device(bucket));
    stream_->mark(*bucket.copied);
}

void DeviceSum::post(Range range) {
    Bucket& bucket = next_bucket(range);
    guard(bucket.name, [&] {
        stream_->mark_compute(*bucket.ready);
        // Where nothing comes before the copy, it goes ahead of its turn: it needs no other rank.
        if (!nccl_) {
            stream_->wait_for(*bucket.ready);
            begin_copy(bucket);
        }
    });
    posting().works.push_back(WorldAccess::post(world_, bucket.name, [this, &bucket](Channel& channel) {
        return named(bucket.name, sum(channel, bucket));
    }));
}

void DeviceSum::sum(std::span<double> values) {
    const Values& marks = next_values();
    guard(values_name, [&] { stream_->mark_compute(*marks.ready); });
    WorldAccess::post(world_, values_name, [this, &marks, values](Channel& channel) {
        return named(values_name, sum(channel, *marks.ready, values, *marks.done));
    }).wait();
    guard(values_name, [&] { stream_->compute_waits_for(*marks.done); });
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

Task DeviceSum::sum(Channel& channel, DeviceMark& ready, std::span<double> values, DeviceMark& done) {
    stream_->wait_for(ready);
    nccl_->all_reduce(values);
    co_await accept(channel);
    stream_->mark(done);
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
bool DeviceSum::through(const DeviceMark& released) {
    bool reached = false;
    guard(watch_name, [&] {
        reached = stream_->reached(released);
        if (nccl_) nccl_->accepted();
    });
    return reached;
}

void DeviceSum::join(std::span<double> values) {
    Step& step = posting();
    step.watch.wait();  // of the step before the last: its marks are set again
    guard(end_name, [&] { stream_->mark_compute(*step.computed); });
    Work last;
    if (!values.empty())
        last = WorldAccess::post(world_, "counts", [this, &step, values](Channel& channel) {
            return named("counts", sum(channel, *step.computed, values, *step.summed));
        });
    for (const Work& work : step.works) work.wait();
    last.wait();
    guard(end_name, [&] {
        if (!step.works.empty()) stream_->compute_waits_for(*step.buckets[step.works.size() - 1]->done);
        if (!values.empty()) stream_->compute_waits_for(*step.summed);
        stream_->mark_compute(*step.released);
    });
    step.watch = WorldAccess::watch(world_, watch_name, [this, &step] { return through(*step.released); });
    ++joined_;
}

// Where the device is seen to be through, its own thread need not be waited for: it sleeps now and then.
// Whoever aborts says so before the device can be through.
BucketSum::Finished DeviceSum::finish() {
    Step& step = steps_[finished_++ % steps_.size()];
    if (!stream_->reached(*step.released) || broken_) step.watch.wait();
    Finished finished{stream_->seconds_between(*step.computed, *step.released), 0, {}};
    for (; step.sums > 0; --step.sums) {
        const Values& marks = step.values[step.sums - 1];
        finished.values += stream_->seconds_between(*marks.ready, *marks.done);
    }
    for (std::size_t i = 0; i < step.works.size(); ++i) {
        const Bucket& bucket = *step.buckets[i];
        // The device's own time tells more, but not of MPI.
        const double seconds = pinned_ ? step.works[i].end_seconds() - step.works[i].start_seconds()
                                       : stream_->seconds_between(*bucket.start, *bucket.done);
        finished.timings.push_back({device(bucket).size_bytes(), seconds});
    }
    step.works.clear();
    return finished;
}

}  // namespace divs::comm
