// One NCCL communicator: started without blocking, asked after every call, aborted where it failed.
#pragma once

#include <atomic>
#include <memory>
#include <span>
#include <string>

#include "divs/core/device_stream.hpp"
#include "nccl_library.hpp"

namespace divs::comm {

class NcclCommunicator {
  public:
    NcclCommunicator(std::shared_ptr<const NcclLibrary> library, std::shared_ptr<DeviceStream> stream,
                     int rank, int size);
    // Aborts, unless close() ended it.
    ~NcclCommunicator();
    NcclCommunicator(const NcclCommunicator&) = delete;

    static nccl::UniqueId make_id(const NcclLibrary& library);

    // Calls only begin what they do: accepted() says when the next may follow. They queue work on the
    // device's stream. CommunicationError, with the call and NCCL's words, where one fails at once.
    void start(const nccl::UniqueId& id);
    void all_reduce(std::span<float> values);  // sums, in place
    void all_reduce(std::span<double> values);
    void reduce(std::span<float> values, int root);  // the sum in place at root; elsewhere unchanged
    void broadcast(std::span<float> values, int root);
    // False while NCCL still works on the last call. CommunicationError where it, or a peer, failed since.
    bool accepted();

    // Gives up what is queued, so that nothing on the device waits for a peer any more. Any thread; once.
    void abort() noexcept;
    // The good end, once nothing is queued. Local; waits for at most a few seconds.
    void close() noexcept;

  private:
    nccl::CommHandle handle() const;
    void all_reduce(void* values, std::size_t count, int type);
    void begin(const char* call, nccl::Result code);

    std::shared_ptr<const NcclLibrary> library_;
    std::shared_ptr<DeviceStream> stream_;
    int rank_, size_;
    const char* call_ = "";  // the last one begun
    // NCCL's own threads write the handle as well, until it has started or is aborted.
    std::shared_ptr<nccl::CommHandle> made_ = std::make_shared<nccl::CommHandle>(nullptr);
    std::atomic<nccl::CommHandle> comm_{nullptr};
};

}  // namespace divs::comm
