#include "channel.hpp"

#include <algorithm>
#include <utility>

#include "divs/core/clock.hpp"
#include "mpi_check.hpp"

namespace divs::comm {

Channel::Channel(const Environment& environment, const WorldOptions& options, ByteLedger& ledger)
    : topology_(environment.topology()),
      communicator_(environment.communicator()),
      links_{WorldOptions::Link{}, options.emulate_cluster, options.emulate_centre},
      ledger_(ledger),
      adding_rate_(options.emulate_adding),
      adds_(options.add),
      blocks_(options.block && !options.thread) {}

// A link is a pipe of this rank: a message of b bytes occupies it for b / bandwidth and is there a latency
// later, so messages queue for bandwidth but their latencies overlap.
double Channel::delivery_time(Tier tier, std::size_t bytes) noexcept {
    const auto index = static_cast<std::size_t>(tier);
    const WorldOptions::Link& link = links_[index];
    if (link.latency <= 0 && link.bandwidth <= 0) return 0;
    const double occupied = link.bandwidth > 0 ? static_cast<double>(bytes) / link.bandwidth : 0;
    link_free_[index] = std::max(now_seconds(), link_free_[index]) + occupied;
    return link_free_[index] + link.latency;
}

void Channel::begin_sending(Tier tier) noexcept {
    UnderWay& link = under_way_[static_cast<std::size_t>(tier)];
    if (link.messages++ == 0) link.since = now_seconds();
}

void Channel::end_sending(Tier tier) noexcept {
    UnderWay& link = under_way_[static_cast<std::size_t>(tier)];
    if (--link.messages == 0) ledger_.add_busy(tier, now_seconds() - link.since);
}

void Channel::begin_sharing(int peer, std::size_t bytes) noexcept {
    const Tier tier = topology_.tier(topology_.rank, peer);
    ledger_.add(tier, bytes);
    begin_sending(tier);
}

void Channel::end_sharing(int peer) noexcept {
    end_sending(topology_.tier(topology_.rank, peer));
}

Transfer Channel::send(const void* data, std::size_t bytes, int peer, int slot) {
    const Tier tier = topology_.tier(topology_.rank, peer);
    ledger_.add(tier, bytes);
    begin_sending(tier);
    Transfer transfer;
    transfer.tier_ = tier;
    transfer.data_ = static_cast<const std::byte*>(data);
    transfer.bytes_ = bytes;
    transfer.peer_ = peer;
    transfer.tag_ = tag_base_ + slot;
    transfer.due_ = delivery_time(tier, bytes);
    transfer.state_ = Transfer::State::held;
    if (transfer.due_ == 0) start(transfer);
    return transfer;
}

// The message leaves when it is due: the peer cannot have it before.
void Channel::start(Transfer& transfer) {
    DIVS_MPI(rank(), MPI_Isend, transfer.data_, static_cast<int>(transfer.bytes_), MPI_BYTE, transfer.peer_,
             transfer.tag_, communicator_, &transfer.request_);
    transfer.state_ = Transfer::State::moving;
    count_progress();
}

Transfer Channel::receive(void* data, std::size_t bytes, int peer, int slot) {
    Transfer transfer;
    transfer.bytes_ = bytes;
    transfer.peer_ = peer;
    transfer.tag_ = tag_base_ + slot;
    transfer.receiving_ = true;
    DIVS_MPI(rank(), MPI_Irecv, data, static_cast<int>(bytes), MPI_BYTE, peer, transfer.tag_, communicator_,
             &transfer.request_);
    transfer.state_ = Transfer::State::moving;
    return transfer;
}

bool Channel::test(Transfer& transfer) {
    if (transfer.state_ == Transfer::State::done) return true;
    if (transfer.state_ == Transfer::State::held) {
        if (now_seconds() < transfer.due_) {
            next_due_ = std::min(next_due_, transfer.due_);
            return false;
        }
        start(transfer);
    }
    if (blocks_) {  // collect() looks at all of them at once
        waited_for_.push_back(&transfer);
        return false;
    }
    int done = 0;
    MPI_Status status;
    DIVS_MPI(rank(), MPI_Test, &transfer.request_, &done, &status);
    if (done) complete(transfer, status);
    return done;
}

void Channel::complete(Transfer& transfer, const MPI_Status& status) {
    transfer.state_ = Transfer::State::done;
    count_progress();
    if (!transfer.receiving_) end_sending(transfer.tier_);
    int received = static_cast<int>(transfer.bytes_);
    if (transfer.receiving_) MPI_Get_count(&status, MPI_BYTE, &received);
    if (received != static_cast<int>(transfer.bytes_))
        throw_error<CommunicationError>(
            "rank {}: {} bytes came from rank {}, expected {}: ranks disagree about the operation", rank(),
            received, transfer.peer_, transfer.bytes_);
}

void Channel::collect(bool wait) {
    std::ranges::sort(waited_for_);  // one may stand there twice
    const auto repeated = std::ranges::unique(waited_for_);
    waited_for_.erase(repeated.begin(), repeated.end());
    std::vector<MPI_Request> requests;
    for (const Transfer* transfer : waited_for_) requests.push_back(transfer->request_);
    int which = MPI_UNDEFINED, done = wait;
    MPI_Status status;
    const int size = static_cast<int>(requests.size());
    if (wait)
        DIVS_MPI(rank(), MPI_Waitany, size, requests.data(), &which, &status);
    else
        DIVS_MPI(rank(), MPI_Testany, size, requests.data(), &which, &done, &status);
    if (!done || which == MPI_UNDEFINED) return;
    Transfer& transfer = *waited_for_[static_cast<std::size_t>(which)];
    waited_for_.erase(waited_for_.begin() + which);
    transfer.request_ = MPI_REQUEST_NULL;
    complete(transfer, status);
}

void Channel::combined(std::size_t bytes) const {
    if (adding_rate_ > 0) sleep_seconds(static_cast<double>(bytes) / adding_rate_);
}

bool Channel::test(std::span<Transfer> transfers) {
    bool done = true;
    for (Transfer& transfer : transfers) done = test(transfer) && done;
    return done;
}

void Channel::nudge() {
    int found = 0;
    DIVS_MPI(rank(), MPI_Iprobe, MPI_ANY_SOURCE, MPI_ANY_TAG, communicator_, &found, MPI_STATUS_IGNORE);
}

double Channel::take_next_due() noexcept {
    return std::exchange(next_due_, never);
}

}  // namespace divs::comm
