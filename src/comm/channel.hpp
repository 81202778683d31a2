// Messages between this rank and its peers: started without waiting, counted per tier, and held back where a
// slower link is emulated. Used by the thread that calls MPI only.
#pragma once

#include <mpi.h>

#include <array>
#include <atomic>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "divs/comm/world.hpp"
#include "environment.hpp"

namespace divs::comm {

// Longest message in bytes: what is longer goes in pieces, so no count comes near INT_MAX.
inline constexpr std::size_t piece_bytes = std::size_t{4} << 20;

// Independent orders of messages between two ranks in one operation.
inline constexpr int max_slots = 8;

// One message on its way. Its buffer must live until test() has been true.
class Transfer {
  public:
    Transfer() = default;

  private:
    friend class Channel;
    enum class State { held, moving, done } state_ = State::done;
    MPI_Request request_ = MPI_REQUEST_NULL;
    const std::byte* data_ = nullptr;  // of a send that is held back
    std::size_t bytes_ = 0;
    int peer_ = 0, tag_ = 0;
    Tier tier_ = Tier::edge;
    bool receiving_ = false;
    double due_ = 0;
};

class Channel {
  public:
    Channel(const Environment& environment, const WorldOptions& options, ByteLedger& ledger);

    int rank() const noexcept { return topology_.rank; }
    int size() const noexcept { return topology_.size; }
    MPI_Comm communicator() const noexcept { return communicator_; }

    void emulate(const WorldOptions::Link& cluster, const WorldOptions::Link& centre) noexcept {
        links_ = {WorldOptions::Link{}, cluster, centre};
    }

    // Messages of two operations never match each other: a program whose ranks disagree hangs where it went
    // wrong.
    void begin_operation(std::uint64_t number) noexcept {
        tag_base_ = static_cast<int>(number % 2048) * max_slots;
        waited_for_.clear();
    }

    // What all ranks' Channel does for an algorithm that may be given some of them.
    Channel& base() noexcept { return *this; }

    // At most piece_bytes. Two messages to one peer in one slot arrive in order.
    Transfer send(const void* data, std::size_t bytes, int peer, int slot = 0);
    Transfer receive(void* data, std::size_t bytes, int peer, int slot = 0);

    // Lets MPI work on what it took over: buffered messages that are not yet out.
    void nudge();

    // A message from this rank to itself, which needs no MPI, for the ledger.
    void count_local(std::size_t bytes) noexcept { ledger_.add(Tier::edge, bytes); }

    // So many bytes go to the peer without a message, in memory that both share, until end_sharing(): for the
    // ledger.
    void begin_sharing(int peer, std::size_t bytes) noexcept;
    void end_sharing(int peer) noexcept;

    // Moves the message along; true when it has arrived or its buffer is free. CommunicationError where what
    // arrived has another length: then the ranks disagree about the operation.
    bool test(Transfer& transfer);
    bool test(std::span<Transfer> transfers);

    // co_await channel.pause(): back to whoever drives the operation.
    auto pause() noexcept {
        struct Awaiter {
            Channel& channel;
            bool await_ready() noexcept { return false; }
            void await_suspend(std::coroutine_handle<> paused) noexcept { channel.paused_ = paused; }
            void await_resume() noexcept {}
        };
        return Awaiter{*this};
    }
    // Runs the paused operation on to its next pause.
    void resume() {
        waited_for_.clear();
        paused_.resume();
    }
    // Where this rank blocks inside MPI: looks whether one of the messages that the operation paused for is
    // through, or waits until one is.
    bool blocks() const noexcept { return blocks_; }
    void collect(bool wait);

    // Memory for what arrives in a slot; it holds until the slot's next call.
    template <class T>
    std::span<T> scratch(int slot, std::size_t size) {
        std::vector<std::byte>& memory = scratch_[static_cast<std::size_t>(slot)];
        if (memory.size() < size * sizeof(T)) memory.resize(size * sizeof(T));
        return {reinterpret_cast<T*>(memory.data()), size};
    }
    bool adds() const noexcept { return adds_; }
    // So many bytes of what arrived were added up.
    void combined(std::size_t bytes) const;

    // Counts messages started and finished: what the watchdog and the back-off look at.
    const std::atomic<std::uint64_t>& progress() const noexcept { return progress_; }
    void count_progress() noexcept { progress_.fetch_add(1, std::memory_order_relaxed); }
    // When the next message that is held back is due (now_seconds()); far in the future where there is none.
    // Set anew by the tests since the last call.
    double take_next_due() noexcept;

  private:
    void start(Transfer& transfer);
    void complete(Transfer& transfer, const MPI_Status& status);
    double delivery_time(Tier tier, std::size_t bytes) noexcept;
    void begin_sending(Tier tier) noexcept;
    void end_sending(Tier tier) noexcept;

    static constexpr double never = std::numeric_limits<double>::infinity();
    const Topology& topology_;
    MPI_Comm communicator_;
    std::array<WorldOptions::Link, 3> links_;  // by tier
    std::array<double, 3> link_free_{};        // when this rank's link of the tier has sent what it was given
    ByteLedger& ledger_;
    struct UnderWay {
        int messages = 0;  // this rank's own
        double since = 0;
    };
    std::array<UnderWay, 3> under_way_;                      // by tier
    std::array<std::vector<std::byte>, max_slots> scratch_;  // allocated as for any fundamental type
    int tag_base_ = 0;
    double adding_rate_;  // bytes/s, emulated; 0: as it is
    bool adds_, blocks_;
    std::coroutine_handle<> paused_;
    std::vector<Transfer*> waited_for_;  // where this rank blocks: what the paused operation tested
    std::atomic<std::uint64_t> progress_{0};
    double next_due_ = never;
};

}  // namespace divs::comm
