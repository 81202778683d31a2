#include "paced_gradients.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "divs/core/clock.hpp"
#include "divs/core/error.hpp"

namespace divs::bench {

PacedGradients::PacedGradients(comm::World& world, ModelGradients model, std::span<float> arena,
                               int tuning_steps)
    : world_(world),
      model_(std::move(model)),
      arena_(arena),
      tuner_(tuning_steps, std::min(2, tuning_steps / 2)) {
    plan({});
}

void PacedGradients::plan(const comm::BucketProposal& lengths) {
    auto buckets =
        comm::plan_buckets(model_.starts, arena_.size(), lengths.bucket_bytes, lengths.first_bytes);
    if (reducer_)
        reducer_->replan(std::move(buckets));
    else
        reducer_ = std::make_unique<comm::BucketReducer>(world_, arena_, std::move(buckets));
}

void PacedGradients::check() {
    const auto number = [](int rank, std::size_t element) {
        return static_cast<float>((static_cast<std::size_t>(rank) + element) % 4096);
    };
    for (std::size_t i = 0; i < arena_.size(); ++i) arena_[i] = number(world_.rank(), i);
    reducer_->ready({0, arena_.size()});
    reducer_->finish();
    for (std::size_t i = 0; i < arena_.size(); ++i) {
        float expected = 0;
        for (int rank = 0; rank < world_.size(); ++rank) expected += number(rank, i);
        if (arena_[i] != expected)
            throw_error<Error>("rank {}: element {} of the gradients sums to {}, expected {}", world_.rank(),
                               i, arena_[i], expected);
    }
    std::ranges::fill(arena_, 0.0F);
}

Link::Step PacedGradients::step(double seconds) {
    const double start = now_seconds();
    double share = 0, late = world_.work_until(start + seconds / 3);
    std::size_t end = arena_.size();
    for (std::size_t i = model_.layers.size(); i-- > 0; end = model_.layers[i].begin) {
        share += model_.layers[i].share;
        late = world_.work_until(start + seconds * (1 + 2 * share) / 3);
        reducer_->ready({model_.layers[i].begin, end});
    }
    const double computed = now_seconds() - late;
    std::array<double, 7> sums{};
    const comm::Work counts = world_.sum(std::span<double>(sums), "counts");
    reducer_->finish();
    counts.wait();
    const Link::Step times{computed - start, now_seconds() - computed};
    if (const auto lengths = tuner_.after_step(world_, *reducer_, bytes(), times.own)) plan(*lengths);
    return times;
}

}  // namespace divs::bench
