#include "transport.hpp"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <utility>

namespace divs::comm {
namespace {

// A byte string on its way between this rank and one peer, two pieces at a time.
class Stream {
  public:
    Stream(Channel& channel, std::span<const std::byte> from, int peer)
        : channel_(channel), from_(from), peer_(peer) {}
    Stream(Channel& channel, std::span<std::byte> into, int peer)
        : channel_(channel), from_(into), into_(into.data()), peer_(peer) {}

    // True when all of it is through. Pieces start and are looked at in their order, so one tag is enough.
    bool advance() {
        for (int tested = 0; tested < 2; ++tested) {
            Transfer& oldest = pieces_[oldest_];
            if (!channel_.test(oldest)) return false;
            const std::size_t bytes = std::min(piece_bytes, from_.size() - next_);
            if (bytes > 0)
                oldest = into_ ? channel_.receive(into_ + next_, bytes, peer_)
                               : channel_.send(from_.data() + next_, bytes, peer_);
            next_ += bytes;
            oldest_ ^= 1;
        }
        return next_ == from_.size() && channel_.test(pieces_);
    }

  private:
    Channel& channel_;
    std::span<const std::byte> from_;
    std::byte* into_ = nullptr;  // of a stream that comes in
    int peer_;
    std::size_t next_ = 0, oldest_ = 0;
    Transfer pieces_[2];
};

// Streams between this rank and all others: those to one peer one after the other, so that they keep their
// order; all peers and both directions at once.
class Flow {
  public:
    explicit Flow(Channel& channel)
        : channel_(channel), queues_(2 * static_cast<std::size_t>(channel.size())) {}

    void send(std::size_t peer, std::span<const std::byte> bytes) {
        queues_[2 * peer].streams.emplace_back(channel_, bytes, static_cast<int>(peer));
    }
    void receive(std::size_t peer, std::span<std::byte> bytes) {
        queues_[2 * peer + 1].streams.emplace_back(channel_, bytes, static_cast<int>(peer));
    }
    // Both directions; nothing for this rank itself.
    void add(std::size_t peer, std::span<const std::byte> out, std::span<std::byte> in) {
        if (static_cast<int>(peer) == channel_.rank()) return;
        send(peer, out);
        receive(peer, in);
    }

    // True when all streams are through.
    bool advance() {
        if (unfinished_.empty() && !begun_)
            for (Queue& queue : queues_) unfinished_.push_back(&queue);
        begun_ = true;
        std::erase_if(unfinished_, [](Queue* queue) {
            while (queue->current < queue->streams.size() && queue->streams[queue->current].advance())
                ++queue->current;
            return queue->current == queue->streams.size();
        });
        return unfinished_.empty();
    }

  private:
    struct Queue {
        std::vector<Stream> streams;
        std::size_t current = 0;
    };
    Channel& channel_;
    std::vector<Queue> queues_;
    std::vector<Queue*> unfinished_;  // once begun
    bool begun_ = false;
};

std::span<std::byte> bytes_of(std::uint64_t& value) {
    return std::as_writable_bytes(std::span(&value, 1));
}

// The children of `place` in a binomial tree of `size` places rooted at 0, the largest subtree first.
std::vector<int> tree_children(int place, int size) {
    std::vector<int> children;
    int bit = 1;
    while (bit < size && !(place & bit)) bit *= 2;
    for (bit /= 2; bit > 0; bit /= 2)
        if (place + bit < size) children.push_back(place + bit);
    return children;
}

int tree_parent(int place) {
    return place & (place - 1);
}

// Appends what came in and what this rank sent to itself, in order of peers.
void deliver(Channel& channel, const std::vector<Message>& outgoing, std::vector<Message> incoming,
             std::vector<Message>& received) {
    for (const Message& message : outgoing)
        if (message.peer == channel.rank()) {
            channel.count_local(message.bytes.size());
            incoming.push_back(message);
        }
    std::stable_sort(incoming.begin(), incoming.end(),
                     [](const Message& a, const Message& b) { return a.peer < b.peer; });
    std::move(incoming.begin(), incoming.end(), std::back_inserter(received));
}

}  // namespace

Task broadcast_bytes(Channel& channel, std::span<std::byte> bytes, int root) {
    constexpr std::size_t step = std::size_t{1} << 20;
    const int size = channel.size(), place = (channel.rank() - root + size) % size;
    const auto rank_of = [&](int p) { return (p + root) % size; };
    const std::vector<int> children = tree_children(place, size);
    std::vector<Transfer> sends;
    const auto receive_at = [&](std::size_t at) {
        return place == 0 || at >= bytes.size()
                   ? Transfer()
                   : channel.receive(bytes.data() + at, std::min(step, bytes.size() - at),
                                     rank_of(tree_parent(place)));
    };
    Transfer in = receive_at(0);
    for (std::size_t at = 0; at < bytes.size(); at += step) {
        while (!channel.test(in)) co_await channel.pause();
        in = receive_at(at + step);
        while (!channel.test(sends)) co_await channel.pause();
        sends.clear();
        for (const int child : children)
            sends.push_back(
                channel.send(bytes.data() + at, std::min(step, bytes.size() - at), rank_of(child)));
    }
    while (!channel.test(sends)) co_await channel.pause();
}

Task broadcast_string(Channel& channel, std::vector<std::byte>& bytes, int root) {
    std::uint64_t length = bytes.size();
    co_await broadcast_bytes(channel, bytes_of(length), root);
    bytes.resize(length);
    co_await broadcast_bytes(channel, bytes, root);
}

Task gather_strings(Channel& channel, const std::vector<std::byte>& mine, int root,
                    std::vector<std::vector<std::byte>>& into) {
    const auto size = static_cast<std::size_t>(channel.size()), top = static_cast<std::size_t>(root);
    std::vector<std::uint64_t> lengths(size, mine.size());
    into.clear();
    Flow heads(channel), bodies(channel);
    if (channel.rank() != root) {
        heads.send(top, bytes_of(lengths[0]));
        heads.send(top, mine);
        while (!heads.advance()) co_await channel.pause();
        co_return;
    }
    for (std::size_t p = 0; p < size; ++p)
        if (p != top) heads.receive(p, bytes_of(lengths[p]));
    while (!heads.advance()) co_await channel.pause();
    into.resize(size);
    for (std::size_t p = 0; p < size; ++p) {
        into[p].resize(lengths[p]);
        if (p != top) bodies.receive(p, into[p]);
    }
    into[top] = mine;
    while (!bodies.advance()) co_await channel.pause();
}

Task exchange_messages(Channel& channel, const std::vector<Message>& outgoing,
                       std::vector<Message>& received) {
    const auto size = static_cast<std::size_t>(channel.size()),
               self = static_cast<std::size_t>(channel.rank());
    const auto index = [](int peer) { return static_cast<std::size_t>(peer); };
    std::vector<std::vector<std::uint64_t>> out_lengths(size), in_lengths(size);
    for (const Message& message : outgoing) out_lengths[index(message.peer)].push_back(message.bytes.size());

    std::vector<std::uint64_t> out_counts(size), in_counts(size);
    Flow counts(channel);
    for (std::size_t p = 0; p < size; ++p) {
        out_counts[p] = out_lengths[p].size();
        counts.add(p, bytes_of(out_counts[p]), bytes_of(in_counts[p]));
    }
    while (!counts.advance()) co_await channel.pause();

    Flow lengths(channel);
    for (std::size_t p = 0; p < size; ++p) {
        in_lengths[p].resize(in_counts[p]);
        lengths.add(p, std::as_bytes(std::span(out_lengths[p])),
                    std::as_writable_bytes(std::span(in_lengths[p])));
    }
    while (!lengths.advance()) co_await channel.pause();

    Flow data(channel);
    std::vector<Message> incoming;
    for (std::size_t p = 0; p < size; ++p)
        if (p != self)
            for (const std::uint64_t length : in_lengths[p])
                incoming.push_back({static_cast<int>(p), std::vector<std::byte>(length)});
    for (const Message& message : outgoing)
        if (index(message.peer) != self) data.send(index(message.peer), message.bytes);
    for (Message& message : incoming) data.receive(index(message.peer), message.bytes);
    while (!data.advance()) co_await channel.pause();
    deliver(channel, outgoing, std::move(incoming), received);
}

}  // namespace divs::comm
