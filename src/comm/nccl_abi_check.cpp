// Holds nccl_abi.hpp against NCCL's own header, where the CUDA toolkit has one: compiled with the CUDA
// plugin, of which it becomes no part.
#include <nccl.h>

#include <cstddef>
#include <type_traits>

#include "nccl_abi.hpp"

namespace divs::comm::nccl {
namespace {

static_assert(sizeof(UniqueId) == sizeof(ncclUniqueId) && alignof(UniqueId) == alignof(ncclUniqueId));
static_assert(sizeof(Result) == sizeof(ncclResult_t));
static_assert(sizeof(float32) == sizeof(ncclDataType_t) && sizeof(sum) == sizeof(ncclRedOp_t));

constexpr bool same(Result ours, ncclResult_t theirs) {
    return static_cast<int>(ours) == static_cast<int>(theirs);
}
static_assert(same(success, ncclSuccess) && same(unhandled_cuda_error, ncclUnhandledCudaError) &&
              same(system_error, ncclSystemError) && same(internal_error, ncclInternalError) &&
              same(invalid_argument, ncclInvalidArgument) && same(invalid_usage, ncclInvalidUsage) &&
              same(remote_error, ncclRemoteError) && same(in_progress, ncclInProgress));
static_assert(float32 == static_cast<int>(ncclFloat32) && float64 == static_cast<int>(ncclFloat64) &&
              sum == static_cast<int>(ncclSum));
static_assert(least_version == NCCL_VERSION(2, 14, 0) && least_version <= NCCL_VERSION_CODE);

static_assert(offsetof(Config, size) == offsetof(ncclConfig_t, size) &&
              offsetof(Config, magic) == offsetof(ncclConfig_t, magic) &&
              offsetof(Config, version) == offsetof(ncclConfig_t, version) &&
              offsetof(Config, blocking) == offsetof(ncclConfig_t, blocking) &&
              sizeof(Config) <= sizeof(ncclConfig_t));
constexpr ncclConfig_t theirs = NCCL_CONFIG_INITIALIZER;
static_assert(Config{}.magic == theirs.magic);

// The same number and order of parameters, each passed in the same way: pointers as pointers, enumerations as
// ints.
template <class Ours, class Theirs>
constexpr bool alike_parameter =
    (std::is_pointer_v<Ours> && std::is_pointer_v<Theirs>) ||
    (sizeof(Ours) == sizeof(Theirs) && !std::is_pointer_v<Ours> && !std::is_pointer_v<Theirs>);
template <class Ours, class Theirs>
constexpr bool alike = false;
template <class R, class... P, class TheirR, class... TheirP>
    requires(sizeof...(P) == sizeof...(TheirP))
constexpr bool alike<R (*)(P...), TheirR (*)(TheirP...)> =
    alike_parameter<R, TheirR> && (alike_parameter<P, TheirP> && ...);

static_assert(alike<GetVersion, decltype(&ncclGetVersion)>);
static_assert(alike<GetErrorString, decltype(&ncclGetErrorString)>);
static_assert(alike<GetLastError, decltype(&ncclGetLastError)>);
static_assert(alike<GetUniqueId, decltype(&ncclGetUniqueId)>);
static_assert(alike<CommInitRankConfig, decltype(&ncclCommInitRankConfig)>);
static_assert(alike<CommGetAsyncError, decltype(&ncclCommGetAsyncError)>);
static_assert(alike<CommOf, decltype(&ncclCommFinalize)> && alike<CommOf, decltype(&ncclCommDestroy)> &&
              alike<CommOf, decltype(&ncclCommAbort)>);
static_assert(alike<AllReduce, decltype(&ncclAllReduce)>);
static_assert(alike<Reduce, decltype(&ncclReduce)>);
static_assert(alike<Broadcast, decltype(&ncclBroadcast)>);

}  // namespace
}  // namespace divs::comm::nccl
