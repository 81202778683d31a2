#include "cudnn_graph.hpp"

#include <algorithm>
#include <set>

namespace divs::nn::cuda {

void check_cudnn(cudnnStatus_t status, const char* call) {
    if (status != CUDNN_STATUS_SUCCESS)
        throw_error<Error>("{} failed: {}", call, cudnnGetErrorString(status));
}

CudnnHandle::CudnnHandle() {
    check_cudnn(cudnnCreate(&handle), "cudnnCreate");
}
CudnnHandle::~CudnnHandle() {
    cudnnDestroy(handle);
}

CudnnDescriptor::CudnnDescriptor(cudnnBackendDescriptorType_t type) {
    cudnnBackendDescriptor_t descriptor = nullptr;
    check_cudnn(cudnnBackendCreateDescriptor(type, &descriptor), "cudnnBackendCreateDescriptor");
    descriptor_.reset(descriptor);
}

void CudnnDescriptor::set_raw(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                              std::int64_t size, const void* values) {
    check_cudnn(cudnnBackendSetAttribute(get(), name, type, size, values), "cudnnBackendSetAttribute");
}

void CudnnDescriptor::finalize() {
    check_cudnn(cudnnBackendFinalize(get()), "cudnnBackendFinalize");
}

std::int64_t CudnnDescriptor::count(cudnnBackendAttributeName_t name,
                                    cudnnBackendAttributeType_t type) const {
    return read(name, type, 0, nullptr);
}
std::int64_t CudnnDescriptor::read(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                                   std::int64_t most, void* values) const {
    std::int64_t found = 0;
    check_cudnn(cudnnBackendGetAttribute(get(), name, type, most, &found, values),
                "cudnnBackendGetAttribute");
    return found;
}

CudnnDescriptor cudnn_tensor(std::int64_t id, cudnnDataType_t type, const std::vector<std::int64_t>& dims,
                             const std::vector<std::int64_t>& strides, bool is_virtual) {
    CudnnDescriptor t(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    t.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, id)
        .set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, type)
        .set(CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, std::span<const std::int64_t>(dims))
        .set(CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, std::span<const std::int64_t>(strides))
        .set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, std::int64_t{16})
        .set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, is_virtual);
    t.finalize();
    return t;
}

namespace {

std::vector<CudnnDescriptor> configurations(const CudnnDescriptor& graph, cudnnBackendHeurMode_t mode,
                                            std::size_t most) {
    CudnnDescriptor heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph)
        .set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, mode);
    heuristics.finalize();
    const auto there = static_cast<std::size_t>(
        heuristics.count(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR));
    std::vector<CudnnDescriptor> found;
    std::vector<cudnnBackendDescriptor_t> pointers;
    for (std::size_t i = 0; i < std::min(there, most); ++i) {
        found.emplace_back(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
        pointers.push_back(found.back().get());
    }
    const auto filled = heuristics.read(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                        static_cast<std::int64_t>(pointers.size()), pointers.data());
    found.erase(found.begin() + std::min<std::ptrdiff_t>(filled, static_cast<std::ptrdiff_t>(found.size())),
                found.end());
    return found;
}

std::string knobs_of(const CudnnDescriptor& configuration) {
    const std::int64_t there =
        configuration.count(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR);
    std::vector<CudnnDescriptor> knobs;
    std::vector<cudnnBackendDescriptor_t> pointers;
    for (std::int64_t i = 0; i < there; ++i) {
        knobs.emplace_back(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR);
        pointers.push_back(knobs.back().get());
    }
    if (there > 0)
        configuration.read(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR, there,
                           pointers.data());
    std::string text;
    for (const CudnnDescriptor& knob : knobs) {
        cudnnBackendKnobType_t type{};
        std::int64_t value = 0;
        knob.read(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1, &type);
        knob.read(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, 1, &value);
        text += fmt::format(" {}={}", static_cast<int>(type), value);
    }
    return text;
}

// The plan of a configuration. Error where the library turns out not to support it.
CudnnPlan plan_of(const CudnnHandle& handle, std::shared_ptr<const CudnnGraph> graph,
                  CudnnDescriptor proposed) {
    CudnnPlan p{std::move(graph), std::move(proposed),
                CudnnDescriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR)};
    const CudnnDescriptor& configuration = p.configuration;
    p.plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, handle.handle)
        .set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration);
    p.plan.finalize();
    std::int64_t workspace = 0, index = 0;
    p.plan.read(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &workspace);
    p.workspace = static_cast<std::size_t>(workspace);

    CudnnDescriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    cudnnBackendDescriptor_t pointer = engine.get();
    configuration.read(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &pointer);
    engine.read(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &index);
    cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    const std::int64_t found = engine.read(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                                           CUDNN_NUMERICAL_NOTE_TYPE_COUNT, notes);
    for (const auto note : std::span(notes, static_cast<std::size_t>(found))) {
        if (note == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC) p.deterministic = false;
        if (note == CUDNN_NUMERICAL_NOTE_TENSOR_CORE || note == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS)
            p.tensor_cores = true;
    }
    p.name = fmt::format("engine {}{}", index, knobs_of(configuration));
    return p;
}

}  // namespace

std::vector<CudnnPlan> cudnn_plans(const CudnnHandle& handle, std::shared_ptr<CudnnGraph> graph,
                                   std::size_t most) {
    std::vector<cudnnBackendDescriptor_t> pointers;
    for (const CudnnDescriptor& operation : graph->operations) pointers.push_back(operation.get());
    CudnnDescriptor described(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    described.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, handle.handle)
        .set(CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
             std::span<const cudnnBackendDescriptor_t>(pointers));
    described.finalize();
    const CudnnDescriptor& operations = graph->keep(std::move(described));

    std::vector<CudnnPlan> plans;
    std::set<std::string> known;
    for (const auto mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_B, CUDNN_HEUR_MODE_FALLBACK}) {
        std::vector<CudnnDescriptor> proposed;
        try {
            proposed = configurations(operations, mode, most);
        } catch (const Error&) {
            continue;  // this heuristic knows nothing of such a graph
        }
        for (CudnnDescriptor& configuration : proposed) {
            if (plans.size() == most) return plans;
            try {
                CudnnPlan plan = plan_of(handle, graph, std::move(configuration));
                if (known.insert(plan.name).second) plans.push_back(std::move(plan));
            } catch (const Error&) {
                // Proposed, but not supported after all.
            }
        }
        if (!plans.empty() && mode == CUDNN_HEUR_MODE_B) break;
    }
    return plans;
}

void cudnn_execute(const CudnnHandle& handle, const CudnnPlan& plan, std::span<const std::int64_t> ids,
                   std::span<void* const> pointers, void* workspace, cudaStream_t stream) {
    CudnnDescriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, ids)
        .set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, pointers)
        .set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, workspace);
    pack.finalize();
    check_cudnn(cudnnSetStream(handle.handle, stream), "cudnnSetStream");
    check_cudnn(cudnnBackendExecute(handle.handle, plan.plan.get(), pack.get()), "cudnnBackendExecute");
}

}  // namespace divs::nn::cuda
