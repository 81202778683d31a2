// A small state whose every part is a function of its step, so that a mixture of two steps is seen.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "divs/core/random.hpp"
#include "divs/train/checkpoint.hpp"
#include "divs/train/ledger.hpp"
#include "support/catch.hpp"

namespace divs::test {

struct State {
    std::vector<float> weight, running, momentum;

    explicit State(std::int64_t step, std::size_t size = 3000) {
        const Random random(static_cast<std::uint64_t>(step), Stream::test);
        for (std::size_t i = 0; i < size; ++i) weight.push_back(static_cast<float>(random.uniform(i)));
        for (std::size_t i = 0; i < 8; ++i) running.push_back(static_cast<float>(random.normal(i)));
        for (std::size_t i = 0; i < size; ++i) momentum.push_back(-weight[i]);
    }

    std::vector<train::ArrayView> arrays() const {
        const auto rows = static_cast<std::int64_t>(weight.size() / 10);
        return {{"parameters/conv1.weight", {rows, 10}, weight},
                {"buffers/bn1.running_mean", {8}, running},
                {"optimiser/momentum/conv1.weight", {rows, 10}, momentum}};
    }
};

inline std::vector<std::uint64_t> example_samples() {
    std::vector<std::uint64_t> ids;
    for (std::uint64_t i = 0; i < 100; ++i) ids.push_back(i);
    return ids;
}

inline train::CheckpointInfo example_info(std::int64_t step) {
    train::SampleLedger ledger(example_samples());
    for (std::int64_t i = 0; i < step % 100; ++i)
        ledger.mark_used(std::vector{static_cast<std::uint64_t>(i)});
    train::CheckpointInfo info;
    info.model_json = "{\"architecture\": \"example\"}";
    info.classes = {"fight", "noFight"};
    info.clip_stride = 2;
    info.step = step;
    info.epoch = static_cast<std::uint64_t>(step / 100);
    info.batch = static_cast<std::uint64_t>(step % 100);
    info.ledger = ledger.pack();
    info.trainer_json = "{\"best\": 1}";
    info.config = "[train]\nseed = 1\n";
    info.versions = {{"onednn", "2.6.3"}};
    info.data_fingerprint = 0xFEDCBA9876543210ULL;
    info.metric_name = "val accuracy";
    return info;
}

inline void write_example(const std::filesystem::path& file, std::int64_t step, std::size_t size = 3000) {
    const State state(step, size);
    train::write_checkpoint(file, example_info(step), state.arrays());
}

// The checkpoint is whole, and all of it belongs to its step.
inline void check_whole(const train::Checkpoint& checkpoint, std::size_t size = 3000) {
    const auto& info = checkpoint.info;
    const State state(info.step, size);
    REQUIRE(checkpoint.arrays.size() == 3);
    REQUIRE(checkpoint.find("parameters/conv1.weight"));
    CHECK(checkpoint.find("parameters/conv1.weight")->values == state.weight);
    CHECK(checkpoint.find("parameters/conv1.weight")->dims ==
          std::vector<std::int64_t>{static_cast<std::int64_t>(size / 10), 10});
    CHECK(checkpoint.find("buffers/bn1.running_mean")->values == state.running);
    CHECK(checkpoint.find("optimiser/momentum/conv1.weight")->values == state.momentum);
    CHECK(info.ledger == example_info(info.step).ledger);
    CHECK(info.batch == static_cast<std::uint64_t>(info.step % 100));
}

}  // namespace divs::test
