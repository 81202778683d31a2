// Random numbers drawn one after another from one key, for code whose order of draws is fixed.
#pragma once

#include <cstdint>

#include "divs/core/random.hpp"
#include "divs/synth/geometry.hpp"

namespace divs::synth {

class Draw {
  public:
    explicit Draw(const Random& random) noexcept : random_(random) {}

    float range(double low, double high) noexcept {
        return static_cast<float>(random_.uniform(next_++, low, high));
    }
    bool chance(double probability) noexcept { return random_.uniform(next_++) < probability; }
    int below(int bound) noexcept {
        return static_cast<int>(random_.below(next_++, static_cast<std::uint64_t>(bound)));
    }
    float normal() noexcept { return static_cast<float>(random_.normal(next_++)); }
    std::uint64_t bits() noexcept { return random_.bits(next_++); }
    Vec3 colour(Vec3 low, Vec3 high) noexcept {
        const float x = range(low.x, high.x), y = range(low.y, high.y), z = range(low.z, high.z);
        return {x, y, z};
    }
    template <class T, std::size_t N>
    const T& pick(const T (&choices)[N]) noexcept {
        return choices[below(static_cast<int>(N))];
    }

  private:
    Random random_;
    std::uint64_t next_ = 0;
};

// What a family of numbers is for; with a scene's or a video's number it makes the key.
enum class Purpose : std::uint64_t {
    plan,
    scene,
    light,
    traffic,
    look,
    background,
    sensor,
    weather,
    shake,
    timing
};

inline Random keyed(std::uint64_t seed, Purpose purpose, std::uint64_t number) noexcept {
    return Random(seed, Stream::synth, static_cast<std::uint64_t>(purpose), number);
}

}  // namespace divs::synth
