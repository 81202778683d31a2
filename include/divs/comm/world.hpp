// All communication of a rank. One thread of it calls MPI, from MPI_Init_thread to MPI_Finalize; everybody
// else posts operations to that thread, which runs them strictly in the order of posting: the order is the
// program's, equal on all ranks, never readiness. Every operation is numbered; a watchdog ends the process
// when one makes no progress.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "divs/core/ledger.hpp"

namespace divs::comm {

struct WorldOptions {
    double timeout_seconds = 300;  // watchdog; 0: none
    bool thread = true;            // false: operations run on the calling thread, inside post and wait
    // Without a thread, in a process that has no other: wait inside MPI, which holds the core on most
    // networks.
    bool block = false;
    int cluster_size = 0;  // ranks a cluster; 0: the ranks of one host
    // Emulated tiers, so that results mean something on one host: seconds of latency and bytes/s; 0: as it
    // is.
    struct Link {
        double latency = 0, bandwidth = 0;
    };
    Link emulate_cluster, emulate_centre;
    double emulate_adding = 0;  // bytes/s at which what arrives is added up; 0: as it is
    bool add = true;            // false: sums of floats take their time and mean nothing; where simulated
};

// A posted operation. Copies share it. Buffers handed to the operation must live until it is done.
class Work {
  public:
    Work() = default;  // done
    bool done() const;
    void wait() const;              // rethrows the operation's error
    double waited_seconds() const;  // how long wait() blocked: communication that was exposed
    double start_seconds() const, end_seconds() const;  // now_seconds() when it ran; 0 before

    struct State;

  private:
    friend class World;
    friend struct WorldAccess;
    explicit Work(std::shared_ptr<State> state) : state_(std::move(state)) {}
    std::shared_ptr<State> state_;
};

// A message to or from one peer.
struct Message {
    int peer = 0;
    std::vector<std::byte> bytes;
};

class World {
  public:
    // Starts MPI (alone, or under mpirun / srun). One at a time in a process.
    explicit World(const WorldOptions& options = {});
    ~World();
    World(const World&) = delete;

    int rank() const noexcept;
    int size() const noexcept;
    const std::string& host() const noexcept;
    int local_rank() const noexcept;  // among the ranks of this host
    int local_size() const noexcept;
    int cluster(int rank) const noexcept;        // number of the cluster that a rank belongs to
    Tier tier(int from, int to) const noexcept;  // what a message between them crosses
    const ByteLedger& bytes() const noexcept;

    // Element-wise sum over all ranks, in place. Collective; equal length everywhere. The same bits on all
    // ranks and every time: the order of additions follows from the length and the number of ranks.
    Work sum(std::span<float> values, std::string_view what = "sum");
    Work sum(std::span<double> values, std::string_view what = "sum");
    Work sum(std::span<std::int64_t> values, std::string_view what = "sum");
    Work sum_by_library(std::span<float> values,
                        std::string_view what = "sum_by_library");  // MPI_Allreduce, to compare
    Work maximum(std::span<double> values, std::string_view what = "maximum");
    Work broadcast(std::span<std::byte> bytes, int root, std::string_view what = "broadcast");
    Work barrier(std::string_view what = "barrier");

    // Blocking conveniences over byte strings of any length.
    std::vector<std::vector<std::byte>> gather(std::span<const std::byte> mine, int root,
                                               std::string_view what = "gather");
    std::vector<std::vector<std::byte>> all_gather(std::span<const std::byte> mine,
                                                   std::string_view what = "all_gather");
    std::vector<std::byte> broadcast(std::vector<std::byte> bytes, int root,
                                     std::string_view what = "broadcast");

    // The same, not waited for: `into` is filled when the work is done.
    Work gather_into(std::vector<std::byte> mine, int root, std::vector<std::vector<std::byte>>& into,
                     std::string_view what = "gather");
    Work broadcast_into(std::vector<std::byte>& bytes, int root, std::string_view what = "broadcast");

    // Point to point in bounded pieces. Collective: every rank posts one exchange, with what it sends to each
    // peer; the messages that come in are appended to `received` (order of peers). Tags cannot be mixed up:
    // exchanges are in order.
    Work exchange(std::vector<Message> outgoing, std::vector<Message>& received,
                  std::string_view what = "exchange");

    // Without a thread: moves posted operations along, to be called between layers. With one: nothing.
    void poll();

    // This thread has nothing to do until `time` (now_seconds()). Without a thread: runs posted operations
    // meanwhile, and longer where one waits inside MPI. Gives the seconds by which it took longer for that.
    double work_until(double time);

    // Emulates other links from here on (posted and waited for). Not for the measured runs of a job: for
    // benchmarks.
    void emulate(const WorldOptions::Link& cluster, const WorldOptions::Link& centre);

    bool emulates_links() const noexcept;  // from the start on

    // What this rank is doing, for the watchdog's line: "video f.mp4 frame 120".
    void describe_activity(std::string text);

    // Stops this rank's communication at once, on the way out of an error: what is posted fails, buffers are
    // free, and the process ends without MPI_Finalize, so that the launcher ends the other ranks. ~World does
    // the same while an exception unwinds; see run_job() for a surer way.
    void leave() noexcept;

    // Ends the whole job with this code, after printing the message with rank and host.
    [[noreturn]] void abort(int code, std::string_view message) noexcept;

  private:
    friend struct WorldAccess;
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

// Bytes that several ranks must agree on (versions, configuration): throws CommunicationError on all ranks,
// naming the ranks that differ from rank 0.
void require_equal(World& world, std::span<const std::byte> bytes, std::string_view what);

}  // namespace divs::comm
