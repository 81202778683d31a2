// NCCL's entry points, as a library for DIVS_NCCL, over memory that the processes of one host share. It is
// strict where NCCL may be: a call while the last one is not accepted fails, collectives whose kind or length
// differ between the ranks fail, and a call reaches the device's queue only once it is accepted.
//
// DIVS_NCCL_DOUBLE="RANK:FAULT[@N]" makes the rank of that number in its MPI job fail, at its Nth collective
// (from 1; the first is the trial): error (asynchronous, peers hear of it), refuse (at once), hang,
// init, init_hang, id, old.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "comm/nccl_abi.hpp"
#include "kernels/host/queue_double.hpp"

using namespace divs::comm::nccl;

namespace {

constexpr int most_ranks = 8;
constexpr std::size_t most_bytes = std::size_t{1} << 24;
constexpr int polls_until_accepted = 2;

struct Shared {
    std::atomic<int> attached, gone;  // ranks; gone: those that failed and aborted
    std::atomic<std::uint64_t> arrived[most_ranks], done[most_ranks], call[most_ranks];
    alignas(8) std::byte values[most_ranks][most_bytes];
};

struct Call {
    std::string kind;
    const void* from = nullptr;
    void* into = nullptr;
    std::size_t count = 0;
    int root = 0;
    int type = float32;
    std::size_t bytes() const { return count * (type == float64 ? sizeof(double) : sizeof(float)); }
    // What must be equal on all ranks.
    std::uint64_t signature() const {
        return std::hash<std::string>{}(kind) ^ count * 0x9E3779B97F4A7C15ULL ^
               static_cast<std::uint64_t>(root) << 60 ^ static_cast<std::uint64_t>(type) << 50;
    }
};

struct Fault {
    std::string kind;
    std::uint64_t at = 0;
};

int world_rank() {
    const char* rank = std::getenv("OMPI_COMM_WORLD_RANK");
    return rank ? std::atoi(rank) : 0;
}

Fault own_fault() {
    const char* text = std::getenv("DIVS_NCCL_DOUBLE");
    if (!text || std::atoi(text) != world_rank()) return {};
    const std::string fault = std::strchr(text, ':') + 1;
    const auto at = fault.find('@');
    return {fault.substr(0, at), at == std::string::npos ? 1 : std::stoull(fault.substr(at + 1))};
}

std::mutex calls_mutex;
std::string calls;  // in the order made

void note(const std::string& call) {
    std::lock_guard lock(calls_mutex);
    calls += call + "\n";
}

// Lives as long as anything of it is queued.
struct Group {
    Group(const char* name, int r, int n) : file(name), rank(r), size(n) {
        const int descriptor = shm_open(name, O_RDWR | O_CREAT, 0600);
        if (descriptor < 0 || ftruncate(descriptor, sizeof(Shared)) != 0) return;
        void* const memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
        close(descriptor);
        if (memory != MAP_FAILED) shared = static_cast<Shared*>(memory);
    }
    ~Group() {
        shm_unlink(file.c_str());
        if (shared) munmap(shared, sizeof(Shared));
    }
    bool all_at_least(const std::atomic<std::uint64_t>* counters, std::uint64_t number) const {
        return std::all_of(counters, counters + size, [&](const auto& counter) { return counter >= number; });
    }

    const std::string file;
    const int rank, size;
    Shared* shared = nullptr;
    std::atomic<bool> aborted{false}, wrong{false}, stuck{false}, failed{false};
    std::atomic<int> pending{0};
};

// One collective on one rank, tried until it is through.
class Collective {
  public:
    Collective(std::shared_ptr<Group> group, Call call, std::uint64_t number)
        : group_(std::move(group)), call_(std::move(call)), number_(number) {}

    bool operator()() {
        if (group_->aborted) return end();
        if (group_->stuck) return false;
        Shared& shared = *group_->shared;
        const int rank = group_->rank;
        if (!arrived_) {
            if (!group_->all_at_least(shared.done, number_ - 1)) return false;
            std::memcpy(shared.values[rank], call_.from, call_.bytes());
            shared.call[rank] = call_.signature();
            shared.arrived[rank] = number_;
            arrived_ = true;
        }
        if (!group_->all_at_least(shared.arrived, number_)) return false;
        for (int r = 0; r < group_->size; ++r)
            if (shared.call[r] != call_.signature()) group_->wrong = true;
        if (group_->wrong) return false;
        compute(shared);
        shared.done[rank] = number_;
        return end();
    }

  private:
    bool end() {
        --group_->pending;
        return true;
    }
    void compute(const Shared& shared) {
        if (call_.kind == "broadcast") {
            std::memcpy(call_.into, shared.values[call_.root], call_.bytes());
        } else if (call_.kind == "allreduce" || call_.root == group_->rank) {
            call_.type == float64 ? add<double>(shared) : add<float>(shared);
        }
    }
    template <class T>
    void add(const Shared& shared) {
        auto* into = static_cast<T*>(call_.into);
        std::fill_n(into, call_.count, T{0});
        for (int r = 0; r < group_->size; ++r) {
            const auto* from = reinterpret_cast<const T*>(shared.values[r]);
            for (std::size_t i = 0; i < call_.count; ++i) into[i] += from[i];
        }
    }

    std::shared_ptr<Group> group_;
    Call call_;
    std::uint64_t number_;
    bool arrived_ = false;
};

}  // namespace

struct divs::comm::nccl::Comm {
    std::shared_ptr<Group> group;
    CommHandle* place = nullptr;  // the caller's: written when it has started, as NCCL may
    Fault fault = own_fault();
    bool starting = true;
    int polls = 0;                        // since the last call
    std::function<void()> when_accepted;  // queues the call
    std::uint64_t collectives = 0;
};

namespace {

Result queue_call(CommHandle comm, Call call, void* stream) {
    if (comm->starting || comm->when_accepted) return invalid_usage;
    if (call.bytes() > most_bytes) return invalid_argument;
    const std::uint64_t number = ++comm->collectives;
    note(call.kind + " " + std::to_string(call.count) + " root " + std::to_string(call.root) +
         (call.type == float64 ? " double" : ""));
    const bool faulty = number == comm->fault.at;
    if (faulty && comm->fault.kind == "refuse") return internal_error;
    if (faulty && comm->fault.kind == "hang") comm->group->stuck = true;
    if (faulty && comm->fault.kind == "error") {
        comm->group->stuck = true;
        comm->group->failed = true;
    }
    comm->polls = 0;
    ++comm->group->pending;
    auto* const queue = static_cast<divs::kernels::host::QueueDouble*>(stream);
    comm->when_accepted = [queue, work = Collective(comm->group, std::move(call), number)] {
        queue->enqueue(work);
    };
    return in_progress;
}

Result state_of(CommHandle comm) {
    Group& group = *comm->group;
    if (group.failed) return system_error;
    if (group.shared->gone) return remote_error;
    if (group.wrong) return invalid_usage;
    if (comm->starting) {
        if (comm->fault.kind == "init_hang" || group.shared->attached < group.size) return in_progress;
        shm_unlink(group.file.c_str());
        *comm->place = comm;
        comm->starting = false;
    }
    if (comm->when_accepted) {
        if (++comm->polls < polls_until_accepted) return in_progress;
        std::exchange(comm->when_accepted, nullptr)();
    }
    return success;
}

}  // namespace

extern "C" {

Result ncclGetVersion(int* version) {
    *version = own_fault().kind == "old" ? 20804 : 22809;
    return success;
}

const char* ncclGetErrorString(Result code) {
    static constexpr const char* words[] = {"no error",
                                            "unhandled cuda error",
                                            "unhandled system error",
                                            "internal error",
                                            "invalid argument",
                                            "invalid usage",
                                            "remote process exited or there was a network error",
                                            "in progress"};
    return words[code];
}

const char* ncclGetLastError(CommHandle) {
    return "said by the double";
}

Result ncclGetUniqueId(UniqueId* id) {
    if (own_fault().kind == "id") return system_error;
    static std::atomic<int> made{0};
    std::snprintf(id->internal, sizeof id->internal, "/divs-nccl-%d-%d", getpid(), ++made);
    return success;
}

Result ncclCommInitRankConfig(CommHandle* comm, int ranks, UniqueId id, int rank, Config* config) {
    if (own_fault().kind == "init") return system_error;
    if (config->magic != 0xcafebeef || config->blocking != 0 || ranks > most_ranks) return invalid_argument;
    auto made = std::make_unique<Comm>();
    made->group = std::make_shared<Group>(id.internal, rank, ranks);
    if (!made->group->shared) return system_error;
    made->place = comm;
    ++made->group->shared->attached;
    *comm = made.release();
    return in_progress;
}

Result ncclCommGetAsyncError(CommHandle comm, Result* state) {
    *state = state_of(comm);
    return success;
}

Result ncclCommFinalize(CommHandle comm) {
    return comm->group->pending == 0 ? success : invalid_usage;
}

Result ncclCommDestroy(CommHandle comm) {
    note("destroy");
    delete comm;
    return success;
}

Result ncclCommAbort(CommHandle comm) {
    note("abort");
    std::fprintf(stderr, "nccl double: rank %d aborts\n", world_rank());
    comm->group->aborted = true;
    if (comm->group->failed) ++comm->group->shared->gone;  // its peers notice by its connections' end
    delete comm;
    return success;
}

Result ncclAllReduce(const void* from, void* into, std::size_t count, int type, int operation,
                     CommHandle comm, void* stream) {
    if ((type != float32 && type != float64) || operation != sum) return invalid_argument;
    return queue_call(comm, {"allreduce", from, into, count, 0, type}, stream);
}

Result ncclReduce(const void* from, void* into, std::size_t count, int type, int operation, int root,
                  CommHandle comm, void* stream) {
    if (type != float32 || operation != sum) return invalid_argument;
    return queue_call(comm, {"reduce", from, into, count, root}, stream);
}

Result ncclBroadcast(const void* from, void* into, std::size_t count, int type, int root, CommHandle comm,
                     void* stream) {
    if (type != float32) return invalid_argument;
    return queue_call(comm, {"broadcast", from, into, count, root}, stream);
}

// For tests: the calls so far, a line each.
const char* nccl_double_calls() {
    static std::string copy;
    std::lock_guard lock(calls_mutex);
    copy = calls;
    return copy.c_str();
}
}
