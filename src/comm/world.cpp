#include "divs/comm/world.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <memory>
#include <string>
#include <utility>

#include "access.hpp"
#include "divs/core/clock.hpp"
#include "divs/core/error.hpp"
#include "engine.hpp"
#include "mpi_check.hpp"
#include "reduce.hpp"
#include "transport.hpp"

namespace divs::comm {
namespace {

constexpr auto add = [](auto a, auto b) { return a + b; };
constexpr auto larger = [](auto a, auto b) { return a < b ? b : a; };

template <class T, class Operation>
Engine::Start reduction(std::span<T> values, Operation operation) {
    return [values, operation](Channel& channel) { return reduce(channel, values, operation); };
}

Task allreduce_by_library(Channel& channel, std::span<float> values) {
    for (std::size_t at = 0; at < values.size();) {  // counts are int
        const auto part = values.subspan(at, std::min(values.size() - at, std::size_t{1} << 30));
        DIVS_MPI(channel.rank(), MPI_Allreduce, MPI_IN_PLACE, part.data(), static_cast<int>(part.size()),
                 MPI_FLOAT, MPI_SUM, channel.communicator());
        at += part.size();
    }
    co_return;
}

// Every rank hears from every other.
Task barrier_task(Channel& channel) {
    std::int64_t nothing = 0;
    co_await reduce(channel, std::span(&nothing, 1), add);
}

Task change_links(Channel& channel, WorldOptions::Link cluster, WorldOptions::Link centre) {
    channel.emulate(cluster, centre);
    co_return;
}

std::vector<std::byte> pack(const std::vector<std::vector<std::byte>>& strings) {
    std::vector<std::byte> packed;
    for (const auto& string : strings) {
        const std::uint64_t length = string.size();
        const auto head = std::as_bytes(std::span(&length, 1));
        packed.insert(packed.end(), head.begin(), head.end());
        packed.insert(packed.end(), string.begin(), string.end());
    }
    return packed;
}

std::vector<std::vector<std::byte>> unpack(std::span<const std::byte> packed) {
    std::vector<std::vector<std::byte>> strings;
    while (!packed.empty()) {
        std::uint64_t length = 0;
        std::copy_n(packed.begin(), sizeof length, std::as_writable_bytes(std::span(&length, 1)).begin());
        const auto body = packed.subspan(sizeof length, length);
        strings.emplace_back(body.begin(), body.end());
        packed = packed.subspan(sizeof length + length);
    }
    return strings;
}

}  // namespace

bool Work::done() const {
    if (!state_) return true;
    if (state_->engine) state_->engine->poll();
    std::lock_guard lock(state_->mutex);
    return state_->done;
}

void Work::wait() const {
    if (!state_) return;
    const Stopwatch clock;
    if (state_->engine) state_->engine->run_until(*state_);
    std::unique_lock lock(state_->mutex);
    const bool blocks = !state_->done || state_->engine;
    state_->finished.wait(lock, [&] { return state_->done; });
    if (blocks) state_->waited += clock.seconds();
    if (state_->error) std::rethrow_exception(state_->error);
}

double Work::waited_seconds() const {
    if (!state_) return 0;
    std::lock_guard lock(state_->mutex);
    return state_->waited;
}

double Work::start_seconds() const {
    if (!state_) return 0;
    std::lock_guard lock(state_->mutex);
    return state_->start;
}

double Work::end_seconds() const {
    if (!state_) return 0;
    std::lock_guard lock(state_->mutex);
    return state_->end;
}

struct World::Impl {
    explicit Impl(const WorldOptions& options) : engine(options) {}

    int check_rank(int rank, std::string_view what) const {
        if (rank < 0 || rank >= engine.topology().size)
            throw_error<CommunicationError>("rank {}: \"{}\" names rank {}, expected 0 to {}",
                                            engine.topology().rank, what, rank, engine.topology().size - 1);
        return rank;
    }

    Engine engine;
    int exceptions = std::uncaught_exceptions();
};

World::World(const WorldOptions& options) : impl_(std::make_unique<Impl>(options)) {}

World::~World() {
    if (std::uncaught_exceptions() > impl_->exceptions) {
        if (size() > 1) leave();
        return;
    }
    try {
        barrier("end of the job").wait();
    } catch (const std::exception& e) {
        std::fprintf(stderr, "divs: %s\n", e.what());
    }
}

int World::rank() const noexcept {
    return impl_->engine.topology().rank;
}
int World::size() const noexcept {
    return impl_->engine.topology().size;
}
const std::string& World::host() const noexcept {
    return impl_->engine.topology().host;
}
int World::local_rank() const noexcept {
    return impl_->engine.topology().local_rank;
}
int World::local_size() const noexcept {
    return impl_->engine.topology().local_size;
}
int World::cluster(int rank) const noexcept {
    return impl_->engine.topology().clusters[static_cast<std::size_t>(rank)];
}
Tier World::tier(int from, int to) const noexcept {
    return impl_->engine.topology().tier(from, to);
}
const ByteLedger& World::bytes() const noexcept {
    return impl_->engine.ledger();
}

Work World::sum(std::span<float> values, std::string_view what) {
    return Work(impl_->engine.post(what, reduction(values, add)));
}
Work World::sum(std::span<double> values, std::string_view what) {
    return Work(impl_->engine.post(what, reduction(values, add)));
}
Work World::sum(std::span<std::int64_t> values, std::string_view what) {
    return Work(impl_->engine.post(what, reduction(values, add)));
}
Work World::maximum(std::span<double> values, std::string_view what) {
    return Work(impl_->engine.post(what, reduction(values, larger)));
}
Work World::sum_by_library(std::span<float> values, std::string_view what) {
    return Work(impl_->engine.post(
        what, [values](Channel& channel) { return allreduce_by_library(channel, values); }));
}
Work World::barrier(std::string_view what) {
    return Work(impl_->engine.post(what, barrier_task));
}

Work World::broadcast(std::span<std::byte> bytes, int root, std::string_view what) {
    impl_->check_rank(root, what);
    return Work(
        impl_->engine.post(what, [=](Channel& channel) { return broadcast_bytes(channel, bytes, root); }));
}

Work World::broadcast_into(std::vector<std::byte>& bytes, int root, std::string_view what) {
    impl_->check_rank(root, what);
    return Work(impl_->engine.post(
        what, [&bytes, root](Channel& channel) { return broadcast_string(channel, bytes, root); }));
}

Work World::gather_into(std::vector<std::byte> mine, int root, std::vector<std::vector<std::byte>>& into,
                        std::string_view what) {
    impl_->check_rank(root, what);
    return Work(impl_->engine.post(what, [mine = std::move(mine), root, &into](Channel& channel) {
        return gather_strings(channel, mine, root, into);
    }));
}

Work World::exchange(std::vector<Message> outgoing, std::vector<Message>& received, std::string_view what) {
    for (const Message& message : outgoing) impl_->check_rank(message.peer, what);
    return Work(impl_->engine.post(what, [outgoing = std::move(outgoing), &received](Channel& channel) {
        return exchange_messages(channel, outgoing, received);
    }));
}

std::vector<std::vector<std::byte>> World::gather(std::span<const std::byte> mine, int root,
                                                  std::string_view what) {
    std::vector<std::vector<std::byte>> all;
    gather_into({mine.begin(), mine.end()}, root, all, what).wait();
    return all;
}

std::vector<std::vector<std::byte>> World::all_gather(std::span<const std::byte> mine,
                                                      std::string_view what) {
    return unpack(broadcast(pack(gather(mine, 0, what)), 0, what));
}

std::vector<std::byte> World::broadcast(std::vector<std::byte> bytes, int root, std::string_view what) {
    broadcast_into(bytes, root, what).wait();
    return bytes;
}

void World::emulate(const WorldOptions::Link& cluster, const WorldOptions::Link& centre) {
    Work(impl_->engine.post("emulate", [=](Channel& channel) {
        return change_links(channel, cluster, centre);
    })).wait();
}

bool World::emulates_links() const noexcept {
    const WorldOptions& options = impl_->engine.options();
    return options.emulate_adding > 0 || !options.add ||
           std::ranges::any_of(std::array{options.emulate_cluster, options.emulate_centre},
                               [](const auto& link) { return link.latency > 0 || link.bandwidth > 0; });
}

void World::poll() {
    impl_->engine.poll();
}
double World::work_until(double time) {
    return impl_->engine.work_until(time);
}
void World::describe_activity(std::string text) {
    impl_->engine.watchdog().describe_activity(std::move(text));
}
void World::leave() noexcept {
    impl_->engine.leave();
}

void World::abort(int code, std::string_view message) noexcept {
    std::fprintf(stderr, "divs: rank %d on %s: %.*s\n", rank(), host().c_str(),
                 static_cast<int>(message.size()), message.data());
    std::fflush(stderr);
    impl_->engine.abort(code);
}

Work WorldAccess::post(World& world, std::string_view what, std::function<Task(Channel&)> start) {
    return Work(world.impl_->engine.post(what, std::move(start)));
}
Work WorldAccess::watch(World& world, std::string_view what, std::function<bool()> through) {
    return Work(world.impl_->engine.watch(what, std::move(through)));
}
Watchdog& WorldAccess::watchdog(World& world) {
    return world.impl_->engine.watchdog();
}

void require_equal(World& world, std::span<const std::byte> bytes, std::string_view what) {
    std::vector<std::byte> first(bytes.begin(), bytes.end());
    first = world.broadcast(std::move(first), 0, what);
    std::vector<std::int64_t> differs(static_cast<std::size_t>(world.size()), 0);
    differs[static_cast<std::size_t>(world.rank())] =
        !std::equal(first.begin(), first.end(), bytes.begin(), bytes.end());
    world.sum(std::span(differs), what).wait();
    std::string ranks;
    for (std::size_t r = 0; r < differs.size(); ++r)
        if (differs[r]) ranks += (ranks.empty() ? "" : ", ") + std::to_string(r);
    if (!ranks.empty())
        throw_error<CommunicationError>(
            "{} of rank(s) {} differs from rank 0's, expected the same everywhere", what, ranks);
}

}  // namespace divs::comm
