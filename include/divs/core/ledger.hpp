// Ledgers of where bytes and time went.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>

namespace divs {

// The layers of the edge architecture that a message crosses.
enum class Tier { edge, cluster, centre };  // within a rank's own host | between a cluster's ranks | to or from rank 0's
inline constexpr std::array tier_names{std::string_view("edge"), std::string_view("cluster"), std::string_view("centre")};

// Bytes and messages sent by this rank, per tier, and how long at least one of them was under way. Safe from any thread.
class ByteLedger {
  public:
    void add(Tier tier, std::uint64_t bytes) noexcept {
        bytes_[index(tier)] += bytes;
        ++messages_[index(tier)];
    }
    void add_busy(Tier tier, double seconds) noexcept {
        busy_nanoseconds_[index(tier)] += static_cast<std::uint64_t>(seconds * 1e9);
    }
    double busy_seconds(Tier tier) const noexcept {
        return static_cast<double>(busy_nanoseconds_[index(tier)]) * 1e-9;
    }
    std::uint64_t bytes(Tier tier) const noexcept { return bytes_[index(tier)]; }
    std::uint64_t messages(Tier tier) const noexcept { return messages_[index(tier)]; }

  private:
    static std::size_t index(Tier tier) noexcept { return static_cast<std::size_t>(tier); }
    std::array<std::atomic<std::uint64_t>, 3> bytes_{}, messages_{}, busy_nanoseconds_{};
};

// What a rank spends its time on.
enum class Stage { decode, convert, wait_data, forward, backward, optimise, exposed_comm, checkpoint, evaluate };
inline constexpr std::array stage_names{
    std::string_view("decode"),   std::string_view("convert"),  std::string_view("wait_data"),
    std::string_view("forward"),  std::string_view("backward"), std::string_view("optimise"),
    std::string_view("exposed_comm"), std::string_view("checkpoint"), std::string_view("evaluate")};

// Nanoseconds spent in each stage by this rank. Safe from any thread; decode and convert overlap the others.
class TimeLedger {
  public:
    void add(Stage stage, double seconds) noexcept {
        nanoseconds_[static_cast<std::size_t>(stage)] += static_cast<std::uint64_t>(seconds * 1e9);
    }
    double seconds(Stage stage) const noexcept {
        return static_cast<double>(nanoseconds_[static_cast<std::size_t>(stage)]) * 1e-9;
    }

  private:
    std::array<std::atomic<std::uint64_t>, stage_names.size()> nanoseconds_{};
};

}  // namespace divs
