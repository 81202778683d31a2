#include "recorder.hpp"

namespace divs::nn::cuda {
namespace {

struct DestroyGraph {
    void operator()(CUgraph_st* graph) const noexcept { cudaGraphDestroy(graph); }
};
struct DestroyRun {
    void operator()(CUgraphExec_st* run) const noexcept { cudaGraphExecDestroy(run); }
};
using GraphHandle = std::unique_ptr<CUgraph_st, DestroyGraph>;
using RunHandle = std::unique_ptr<CUgraphExec_st, DestroyRun>;

class Graph final : public Recorded {
  public:
    Graph(RunHandle run, cudaStream_t stream, cudaEvent_t behind)
        : run_(std::move(run)), stream_(stream), behind_(behind) {}

    void run() override {
        DIVS_CUDA_CALL(cudaGraphLaunch, run_.get(), stream_);
        if (behind_) DIVS_CUDA_CALL(cudaEventRecord, behind_, stream_);
    }

  private:
    RunHandle run_;
    cudaStream_t stream_;
    cudaEvent_t behind_;
};

GraphHandle end_capture(cudaStream_t stream) {
    cudaGraph_t graph = nullptr;
    const cudaError_t code = cudaStreamEndCapture(stream, &graph);
    GraphHandle owner(graph);
    check(code, "cudaStreamEndCapture");
    return owner;
}

}  // namespace

void GraphRecorder::begin() {
    // Other threads of the process (communication, copies) go on with their own calls meanwhile.
    DIVS_CUDA_CALL(cudaStreamBeginCapture, device_.stream(), cudaStreamCaptureModeThreadLocal);
    recording_ = true;
    has_loss_ = false;
}

std::unique_ptr<Recorded> GraphRecorder::end() {
    recording_ = false;
    const GraphHandle graph = end_capture(device_.stream());
    cudaGraphExec_t run = nullptr;
    DIVS_CUDA_CALL(cudaGraphInstantiate, &run, graph.get(), 0ULL);
    return std::make_unique<Graph>(RunHandle(run), device_.stream(), has_loss_ ? loss_queued_ : nullptr);
}

void GraphRecorder::abandon() noexcept {
    recording_ = false;
    cudaGraph_t graph = nullptr;
    cudaStreamEndCapture(device_.stream(), &graph);
    const GraphHandle owner(graph);
    cudaGetLastError();  // of the capture that failed
}

}  // namespace divs::nn::cuda
