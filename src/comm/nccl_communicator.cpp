#include "nccl_communicator.hpp"

#include <chrono>
#include <thread>
#include <utility>

#include "divs/core/clock.hpp"
#include "divs/core/error.hpp"
#include "time_limit.hpp"

namespace divs::comm {
namespace {

constexpr double end_seconds = 5;    // for the good end, which asks the peers
constexpr double abort_seconds = 2;  // for the bad one, which asks nobody

}  // namespace

NcclCommunicator::NcclCommunicator(std::shared_ptr<const NcclLibrary> library,
                                   std::shared_ptr<DeviceStream> stream, int rank, int size)
    : library_(std::move(library)), stream_(std::move(stream)), rank_(rank), size_(size) {}

NcclCommunicator::~NcclCommunicator() {
    abort();
}

nccl::UniqueId NcclCommunicator::make_id(const NcclLibrary& library) {
    nccl::UniqueId id{};
    const nccl::Result code = library.get_unique_id(&id);
    if (code != nccl::success)
        throw_error<CommunicationError>("ncclGetUniqueId: {}", library.words(code, nullptr));
    return id;
}

nccl::CommHandle NcclCommunicator::handle() const {
    nccl::CommHandle comm = comm_;
    if (!comm) throw_error<CommunicationError>("the NCCL communicator was aborted after {}", call_);
    return comm;
}

void NcclCommunicator::begin(const char* call, nccl::Result code) {
    call_ = call;
    if (code != nccl::success && code != nccl::in_progress)
        throw_error<CommunicationError>("{}: {}", call, library_->words(code, comm_));
}

void NcclCommunicator::start(const nccl::UniqueId& id) {
    stream_->activate();
    nccl::Config config;
    const nccl::Result code = library_->init(made_.get(), size_, id, rank_, &config);
    comm_ = std::atomic_ref(*made_).load();
    begin("ncclCommInitRankConfig", code);
}

void NcclCommunicator::all_reduce(void* values, std::size_t count, int type) {
    stream_->activate();
    begin("ncclAllReduce",
          library_->all_reduce(values, values, count, type, nccl::sum, handle(), stream_->handle()));
}
void NcclCommunicator::all_reduce(std::span<float> values) {
    all_reduce(values.data(), values.size(), nccl::float32);
}
void NcclCommunicator::all_reduce(std::span<double> values) {
    all_reduce(values.data(), values.size(), nccl::float64);
}

void NcclCommunicator::reduce(std::span<float> values, int root) {
    stream_->activate();
    begin("ncclReduce", library_->reduce(values.data(), values.data(), values.size(), nccl::float32,
                                         nccl::sum, root, handle(), stream_->handle()));
}

void NcclCommunicator::broadcast(std::span<float> values, int root) {
    stream_->activate();
    begin("ncclBroadcast", library_->broadcast(values.data(), values.data(), values.size(), nccl::float32,
                                               root, handle(), stream_->handle()));
}

bool NcclCommunicator::accepted() {
    nccl::Result state = nccl::success;
    const nccl::CommHandle comm = handle();
    const nccl::Result code = library_->get_async_error(comm, &state);
    if (code != nccl::success)
        throw_error<CommunicationError>("ncclCommGetAsyncError after {}: {}", call_,
                                        library_->words(code, comm));
    if (state != nccl::success && state != nccl::in_progress)
        throw_error<CommunicationError>("{}: asynchronous error: {}", call_, library_->words(state, comm));
    return state == nccl::success;
}

void NcclCommunicator::abort() noexcept {
    const nccl::CommHandle comm = comm_.exchange(nullptr);
    // The stream and the handle's place outlive the call, even where it hangs.
    const auto end = [library = library_, stream = stream_, made = made_, comm] { library->abort(comm); };
    if (comm) ends_within(abort_seconds, end);
}

void NcclCommunicator::close() noexcept {
    const nccl::CommHandle comm = comm_.exchange(nullptr);
    if (!comm) return;
    const auto end = [library = library_, stream = stream_, comm] {
        const double limit = now_seconds() + end_seconds;
        nccl::Result state = library->finalize(comm);
        while (state == nccl::in_progress && now_seconds() < limit) {
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
            if (library->get_async_error(comm, &state) != nccl::success) break;
        }
        state == nccl::success ? library->destroy(comm) : library->abort(comm);
    };
    ends_within(end_seconds + abort_seconds, end);
}

}  // namespace divs::comm
