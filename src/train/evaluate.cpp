#include "divs/train/evaluate.hpp"

#include <algorithm>
#include <cstring>
#include <mutex>

#include "divs/core/clock.hpp"
#include "divs/core/log.hpp"
#include "divs/train/epoch.hpp"

namespace divs::train {
namespace {

// Predictions as bytes: sample, label, scores, one after the other.
std::vector<std::byte> pack(const std::vector<Prediction>& predictions, std::size_t classes) {
    const std::size_t entry = sizeof(std::uint64_t) + sizeof(std::int32_t) + classes * sizeof(float);
    std::vector<std::byte> bytes(predictions.size() * entry);
    std::byte* out = bytes.data();
    for (const Prediction& p : predictions) {
        std::memcpy(out, &p.sample, sizeof p.sample);
        std::memcpy(out + sizeof p.sample, &p.label, sizeof p.label);
        std::memcpy(out + sizeof p.sample + sizeof p.label, p.log_scores.data(), classes * sizeof(float));
        out += entry;
    }
    return bytes;
}

void unpack(std::span<const std::byte> bytes, std::size_t classes, std::vector<Prediction>& predictions) {
    const std::size_t entry = sizeof(std::uint64_t) + sizeof(std::int32_t) + classes * sizeof(float);
    for (; bytes.size() >= entry; bytes = bytes.subspan(entry)) {
        Prediction p;
        p.log_scores.resize(classes);
        std::memcpy(&p.sample, bytes.data(), sizeof p.sample);
        std::memcpy(&p.label, bytes.data() + sizeof p.sample, sizeof p.label);
        std::memcpy(p.log_scores.data(), bytes.data() + sizeof p.sample + sizeof p.label,
                    classes * sizeof(float));
        predictions.push_back(std::move(p));
    }
}

// `batch`: always so many, so that the figures do not depend on who has how many.
void predict(Classifier& classifier, const std::vector<video::Clip>& clips, int batch,
             std::vector<Prediction>& predictions) {
    auto scores = classifier.log_scores(clips, static_cast<std::size_t>(batch));
    for (std::size_t i = 0; i < clips.size(); ++i)
        predictions.push_back({clips[i].sample, clips[i].label, std::move(scores[i])});
}

}  // namespace

Evaluation evaluate(Classifier& classifier, comm::World& world, const video::Catalogue& catalogue,
                    const std::vector<std::uint64_t>& samples, const EvaluateOptions& options) {
    Stopwatch watch;
    Evaluation evaluation;
    const std::vector<sched::RankModel> equal(static_cast<std::size_t>(world.size()),
                                              {.seconds_per_unit = 1});
    const auto assignment = spread_in_order(catalogue, samples, equal, options.holders, 0);
    const auto& mine = assignment.leases[static_cast<std::size_t>(world.rank())];

    std::mutex mutex;
    std::size_t next = 0;
    std::unordered_map<std::uint32_t, std::vector<std::uint64_t>> wanted;
    for (const std::uint64_t sample : samples) wanted[catalogue.samples[sample].shard].push_back(sample);
    ClipFeed feed(catalogue, options.feed, [&]() -> std::optional<Lease> {
        std::lock_guard lock(mutex);
        if (next == mine.size()) return std::nullopt;
        const std::uint32_t shard = mine[next++];
        return Lease{shard, wanted.at(shard), {}};
    });

    std::vector<Prediction> predictions;
    std::vector<video::Clip> batch;
    while (auto clip = feed.pop()) {
        if (!clip->skipped.empty()) {
            evaluation.skipped.emplace_back(clip->sample, clip->skipped);
            continue;
        }
        batch.push_back(std::move(*clip));
        if (batch.size() < static_cast<std::size_t>(options.batch)) continue;
        predict(classifier, batch, options.batch, predictions);
        batch.clear();
    }
    if (!batch.empty()) predict(classifier, batch, options.batch, predictions);

    const auto classes = static_cast<std::size_t>(classifier.classes());
    for (const auto& bytes : world.gather(pack(predictions, classes), 0, "predictions"))
        unpack(bytes, classes, evaluation.predictions);
    std::sort(evaluation.predictions.begin(), evaluation.predictions.end(),
              [](const auto& a, const auto& b) { return a.sample < b.sample; });
    evaluation.seconds = watch.seconds();
    return evaluation;
}

}  // namespace divs::train
