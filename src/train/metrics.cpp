#include "divs/train/metrics.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>

namespace divs::train {
namespace {

double ratio(double part, double whole) {
    return whole > 0 ? part / whole : 0;
}

ClassMetrics measure_class(const Metrics& metrics, const std::vector<Prediction>& predictions, std::size_t c,
                           const std::string& name) {
    ClassMetrics result{name};
    std::int64_t predicted = 0;
    for (const auto& row : metrics.confusion) predicted += row[c];
    const auto& row = metrics.confusion[c];
    result.support = std::accumulate(row.begin(), row.end(), std::int64_t{0});
    const auto hits = static_cast<double>(row[c]);
    result.precision = ratio(hits, static_cast<double>(predicted));
    result.recall = ratio(hits, static_cast<double>(result.support));
    result.f1 = ratio(2 * result.precision * result.recall, result.precision + result.recall);

    std::vector<float> scores;
    const auto positive = std::make_unique<bool[]>(predictions.size());
    for (std::size_t i = 0; i < predictions.size(); ++i) {
        scores.push_back(predictions[i].log_scores[c]);
        positive[i] = predictions[i].label == static_cast<std::int32_t>(c);
    }
    result.auc = area_under_curve(scores, {positive.get(), predictions.size()});
    return result;
}

// NaN has no form in JSON.
nlohmann::json number(double value) {
    return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json();
}

}  // namespace

double area_under_curve(std::span<const float> scores, std::span<const bool> positive) {
    std::vector<std::size_t> order(scores.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(), [&](auto a, auto b) { return scores[a] < scores[b]; });
    double rank_sum = 0;
    std::size_t positives = 0;
    for (std::size_t begin = 0; begin < order.size();) {
        std::size_t end = begin;
        while (end < order.size() && scores[order[end]] == scores[order[begin]]) ++end;
        const double mean_rank =
            static_cast<double>(begin + end + 1) / 2;  // ranks from 1, ties share their mean
        for (std::size_t i = begin; i < end; ++i)
            if (positive[order[i]]) {
                rank_sum += mean_rank;
                ++positives;
            }
        begin = end;
    }
    const auto p = static_cast<double>(positives), n = static_cast<double>(scores.size() - positives);
    if (p == 0 || n == 0) return std::numeric_limits<double>::quiet_NaN();
    return (rank_sum - p * (p + 1) / 2) / (p * n);
}

Metrics measure(const std::vector<Prediction>& predictions, const std::vector<std::string>& classes) {
    Metrics metrics;
    metrics.samples = static_cast<std::int64_t>(predictions.size());
    metrics.confusion.assign(classes.size(), std::vector<std::int64_t>(classes.size()));
    double hits = 0;
    for (const auto& p : predictions) {
        const auto best = std::max_element(p.log_scores.begin(), p.log_scores.end()) - p.log_scores.begin();
        ++metrics.confusion[static_cast<std::size_t>(p.label)][static_cast<std::size_t>(best)];
        hits += best == p.label;
        metrics.loss -= static_cast<double>(p.log_scores[static_cast<std::size_t>(p.label)]);
    }
    const auto n = static_cast<double>(predictions.size());
    metrics.loss = ratio(metrics.loss, n);
    metrics.accuracy = ratio(hits, n);
    int with_auc = 0, present = 0;
    for (std::size_t c = 0; c < classes.size(); ++c) {
        metrics.classes.push_back(measure_class(metrics, predictions, c, classes[c]));
        const ClassMetrics& one = metrics.classes.back();
        if (one.support > 0) {
            metrics.macro_f1 += one.f1;
            ++present;
        }
        if (std::isfinite(one.auc)) {
            metrics.macro_auc += one.auc;
            ++with_auc;
        }
    }
    metrics.macro_f1 = ratio(metrics.macro_f1, present);
    metrics.macro_auc = with_auc ? metrics.macro_auc / with_auc : std::numeric_limits<double>::quiet_NaN();
    return metrics;
}

nlohmann::json to_json(const Metrics& metrics) {
    nlohmann::json classes = nlohmann::json::array();
    nlohmann::json names = nlohmann::json::array();
    for (const auto& c : metrics.classes) {
        classes.push_back({{"name", c.name},
                           {"support", c.support},
                           {"precision", c.precision},
                           {"recall", c.recall},
                           {"f1", c.f1},
                           {"auc", number(c.auc)}});
        names.push_back(c.name);
    }
    return {{"samples", metrics.samples},
            {"loss", number(metrics.loss)},
            {"accuracy", metrics.accuracy},
            {"macro_f1", metrics.macro_f1},
            {"macro_auc", number(metrics.macro_auc)},
            {"classes", names},
            {"per_class", classes},
            {"confusion", metrics.confusion}};
}

std::string to_text(const Metrics& metrics) {
    std::size_t width = 5;
    for (const auto& c : metrics.classes) width = std::max(width, c.name.size());
    std::string text =
        fmt::format("{} samples  loss {:.4f}  accuracy {:.4f}  macro-F1 {:.4f}  AUC {:.4f}\n\n",
                    metrics.samples, metrics.loss, metrics.accuracy, metrics.macro_f1, metrics.macro_auc);
    text += fmt::format("{:<{}}  samples  precision  recall      F1     AUC\n", "class", width);
    for (const auto& c : metrics.classes)
        text += fmt::format("{:<{}}  {:>7}  {:>9.4f}  {:>6.4f}  {:>6.4f}  {:>6.4f}\n", c.name, width,
                            c.support, c.precision, c.recall, c.f1, c.auc);
    text += fmt::format("\nconfusion (rows: label, columns: predicted)\n{:<{}}", "", width);
    const auto column = [&](std::size_t c) {
        return std::max<std::size_t>(metrics.classes[c].name.size(), 8);
    };
    for (std::size_t c = 0; c < metrics.classes.size(); ++c)
        text += fmt::format("  {:>{}}", metrics.classes[c].name, column(c));
    for (std::size_t row = 0; row < metrics.confusion.size(); ++row) {
        text += fmt::format("\n{:<{}}", metrics.classes[row].name, width);
        for (std::size_t c = 0; c < metrics.classes.size(); ++c)
            text += fmt::format("  {:>{}}", metrics.confusion[row][c], column(c));
    }
    return text + "\n";
}

}  // namespace divs::train
