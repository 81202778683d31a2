// cuDNN's graph API over its C descriptors, as far as convolutions need it: descriptors with owners, and the
// plans that its heuristics propose for a graph of operations.
#pragma once

#include <cudnn.h>

#include <deque>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "divs/core/error.hpp"

namespace divs::nn::cuda {

void check_cudnn(cudnnStatus_t status, const char* call);

// The library's state on the current device.
struct CudnnHandle {
    CudnnHandle();
    CudnnHandle(const CudnnHandle&) = delete;
    ~CudnnHandle();
    cudnnHandle_t handle = nullptr;
};

class CudnnDescriptor {
  public:
    explicit CudnnDescriptor(cudnnBackendDescriptorType_t type);

    template <class T>
    CudnnDescriptor& set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                         std::span<const T> values) {
        set_raw(name, type, static_cast<std::int64_t>(values.size()), values.data());
        return *this;
    }
    template <class T>
    CudnnDescriptor& set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, const T& value) {
        return set(name, type, std::span<const T>(&value, 1));
    }
    CudnnDescriptor& set(cudnnBackendAttributeName_t name, const CudnnDescriptor& value) {
        return set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, value.get());
    }
    // After its attributes are set. Error where the library does not support what they describe.
    void finalize();

    // How many values an attribute has, and up to `most` of them.
    std::int64_t count(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type) const;
    std::int64_t read(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t most,
                      void* values) const;
    cudnnBackendDescriptor_t get() const noexcept { return descriptor_.get(); }

  private:
    struct Destroy {
        void operator()(cudnnBackendDescriptor_t d) const noexcept { cudnnBackendDestroyDescriptor(d); }
    };
    void set_raw(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t size,
                 const void* values);

    std::unique_ptr<void, Destroy> descriptor_;
};

// dims and strides in cuDNN's order (N, C, H, W); virtual tensors exist inside of a graph only.
CudnnDescriptor cudnn_tensor(std::int64_t id, cudnnDataType_t type, const std::vector<std::int64_t>& dims,
                             const std::vector<std::int64_t>& strides, bool is_virtual = false);

// Operations, and the descriptors that they refer to: cuDNN does not say whether it copies those.
struct CudnnGraph {
    std::vector<CudnnDescriptor> operations;
    std::deque<CudnnDescriptor> parts;

    const CudnnDescriptor& keep(CudnnDescriptor part) { return parts.emplace_back(std::move(part)); }
};

// A way to run a graph.
struct CudnnPlan {
    std::shared_ptr<const CudnnGraph> graph;
    CudnnDescriptor configuration, plan;
    std::string name;  // the engine's number and its knobs: the same wherever the library is the same
    std::size_t workspace = 0;
    bool deterministic = true;
    bool tensor_cores = false;  // rounds float32 factors
};

// What heuristics A, then B, then the fallback propose for these operations and the library accepts, best
// first, each once; at most `most`.
std::vector<CudnnPlan> cudnn_plans(const CudnnHandle& handle, std::shared_ptr<CudnnGraph> graph,
                                   std::size_t most);

void cudnn_execute(const CudnnHandle& handle, const CudnnPlan& plan, std::span<const std::int64_t> ids,
                   std::span<void* const> pointers, void* workspace, cudaStream_t stream);

}  // namespace divs::nn::cuda
