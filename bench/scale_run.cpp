#include "scale_run.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <sstream>

#include "bench.hpp"
#include "child.hpp"
#include "divs/core/error.hpp"

namespace divs::bench {
namespace {

using Json = nlohmann::json;

double sum_of(const Json& ranks, const char* key) {
    double sum = 0;
    for (const Json& rank : ranks) sum += rank.at(key).get<double>();
    return sum;
}

// What grew from one "ranks" line to a later one, rank by rank.
Json growth(const Json& from, const Json& to) {
    Json all = to.at("ranks");
    const Json& before = from.at("ranks");
    if (before.size() != all.size()) throw_error<Error>("{} ranks became {}", before.size(), all.size());
    for (std::size_t r = 0; r < all.size(); ++r)
        for (auto& [key, value] : all[r].items())
            if (!key.starts_with("peak_")) value = value.get<double>() - before[r].at(key).get<double>();
    return all;
}

ScaleFigures figures_of(const Json& ranks, double seconds, double steps) {
    const auto count = static_cast<double>(ranks.size());
    const double all = seconds * count;
    ScaleFigures f;
    f.samples_per_second = sum_of(ranks, "trained") / seconds;
    f.compute = sum_of(ranks, "compute_s") / all;
    f.optimise = sum_of(ranks, "optimise_s") / all;
    f.exposed = sum_of(ranks, "exposed_s") / all;
    f.waiting = sum_of(ranks, "wait_data_s") / all;
    f.rest = std::max(0.0, 1 - f.compute - f.optimise - f.exposed - f.waiting);
    f.communicating = sum_of(ranks, "communicating_s") / all;
    f.least_exposed = 1;
    double most = 0, work = 0;
    for (const Json& rank : ranks) {
        const double own = rank.at("compute_s").get<double>() + rank.at("optimise_s").get<double>();
        most = std::max(most, own);
        work += own;
        f.least_exposed = std::min(f.least_exposed, rank.at("exposed_s").get<double>() / seconds);
        f.memory_bytes = std::max(f.memory_bytes, rank.at("peak_memory_bytes").get<double>());
    }
    f.imbalance = work > 0 ? most * count / work - 1 : 0;
    f.step_seconds = seconds / steps;
    f.edge_bytes = sum_of(ranks, "edge_bytes") / steps;
    f.cluster_bytes = sum_of(ranks, "cluster_bytes") / steps;
    f.centre_bytes = sum_of(ranks, "centre_bytes") / steps;
    return f;
}

std::string replaced(std::string text, const std::string& what, const std::string& with) {
    for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + with.size()))
        text.replace(at, what.size(), with);
    return text;
}

}  // namespace

const std::vector<std::pair<const char*, ScaleField>> scale_fields{
    {"samples_per_s", &ScaleFigures::samples_per_second},
    {"compute", &ScaleFigures::compute},
    {"optimise", &ScaleFigures::optimise},
    {"exposed", &ScaleFigures::exposed},
    {"waiting", &ScaleFigures::waiting},
    {"rest", &ScaleFigures::rest},
    {"least_exposed", &ScaleFigures::least_exposed},
    {"communicating", &ScaleFigures::communicating},
    {"imbalance", &ScaleFigures::imbalance},
    {"step_s", &ScaleFigures::step_seconds},
    {"edge_bytes", &ScaleFigures::edge_bytes},
    {"cluster_bytes", &ScaleFigures::cluster_bytes},
    {"centre_bytes", &ScaleFigures::centre_bytes},
    {"memory_bytes", &ScaleFigures::memory_bytes},
};

std::string ScaleRun::name() const {
    return fmt::format("{}-{}", mode, ranks);
}

Json to_json(const ScaleFigures& figures) {
    Json json;
    for (const auto& [name, field] : scale_fields) json[name] = figures.*field;
    return json;
}

ScaleFigures figures_from(const Json& json) {
    ScaleFigures figures;
    for (const auto& [name, field] : scale_fields) figures.*field = json.at(name).get<double>();
    return figures;
}

ScaleFigures read_figures(const std::filesystem::path& metrics, const ScaleRun& run) {
    std::ifstream in(metrics);
    std::map<int, Json> ends;  // of epochs
    double steps = 0;
    for (std::string text; std::getline(in, text);) {
        const Json line = Json::parse(text, nullptr, false);
        if (!line.is_object()) continue;
        const std::string kind = line.value("kind", "");
        if (kind == "ranks") ends[line.at("epoch").get<int>()] = line;
        if (kind == "step" && line.at("epoch").get<int>() >= run.warm_up) ++steps;
    }
    const int first = run.warm_up - 1, last = run.warm_up + run.epochs - 1;
    if (!ends.contains(first) || !ends.contains(last) || steps == 0)
        throw_error<InputError>("{}: epochs {} and {} are not in it, expected the metrics of a whole run",
                                metrics.string(), first + 1, last + 1);
    const double seconds = ends[last].at("seconds").get<double>() - ends[first].at("seconds").get<double>();
    return figures_of(growth(ends[first], ends[last]), seconds, steps);
}

ScaleFigures together(const std::vector<ScaleFigures>& jobs) {
    ScaleFigures all;
    const auto count = static_cast<double>(jobs.size());
    for (const auto& [name, field] : scale_fields)
        for (const ScaleFigures& job : jobs) all.*field += job.*field / count;
    for (const ScaleField field : {&ScaleFigures::samples_per_second, &ScaleFigures::edge_bytes,
                                   &ScaleFigures::cluster_bytes, &ScaleFigures::centre_bytes})
        all.*field *= count;
    for (const ScaleFigures& job : jobs) all.memory_bytes = std::max(all.memory_bytes, job.memory_bytes);
    return all;
}

ScaleFigures median_round(std::vector<ScaleFigures> rounds) {
    std::ranges::sort(rounds, {}, &ScaleFigures::samples_per_second);
    return rounds.at((rounds.size() - 1) / 2);
}

std::vector<std::string> ScaleLauncher::launch_words(int ranks) const {
    std::string text = launcher;
    if (text.empty()) {
        const bool fits = ranks * threads <= static_cast<int>(own_cores().size());
        text = fits ? "mpirun -n {ranks} --bind-to core --map-by slot:PE={threads}"
                    : "mpirun -n {ranks} --bind-to none --oversubscribe";
    }
    text = replaced(replaced(text, "{ranks}", std::to_string(ranks)), "{threads}", std::to_string(threads));
    std::istringstream in(text);
    return {std::istream_iterator<std::string>(in), {}};
}

std::vector<std::string> ScaleLauncher::train_words(const ScaleRun& run,
                                                    const std::filesystem::path& job) const {
    std::vector<std::string> words{program, "train", config};
    words.insert(words.end(), options.begin(), options.end());
    const std::map<std::string, std::string> sets{{"train.folder", job.string()},
                                                  {"train.batch", std::to_string(run.batch)},
                                                  {"train.epochs", std::to_string(run.warm_up + run.epochs)},
                                                  {"train.evaluate_epochs", "0"},
                                                  {"train.checkpoint_epochs", "0"},
                                                  {"model.threads", std::to_string(threads)}};
    for (const auto& [key, value] : sets) {
        words.push_back("--set");
        words.push_back(key + "=" + value);
    }
    return words;
}

ScaleFigures ScaleLauncher::execute(const ScaleRun& run) const {
    const bool apart = run.mode == "apart";
    const std::vector<int> cores = own_cores();
    std::vector<std::filesystem::path> jobs;
    std::vector<Child> children;
    for (int i = 0; i < (apart ? run.ranks : 1); ++i) {
        jobs.push_back(folder / fmt::format("{}-job{}", run.name(), i));
        std::filesystem::remove_all(jobs.back());  // what an earlier attempt left would be gone on with
        std::filesystem::create_directories(jobs.back());
        std::vector<std::string> words = apart ? std::vector<std::string>{} : launch_words(run.ranks);
        for (std::string& word : train_words(run, jobs.back())) words.push_back(std::move(word));
        std::vector<int> own;
        if (apart) own.assign(cores.begin() + i * threads, cores.begin() + (i + 1) * threads);
        children.emplace_back(words, jobs.back() / "output.log", own);
    }
    wait_for(children, timeout_seconds, stopped);
    std::vector<ScaleFigures> figures;
    for (const auto& job : jobs) figures.push_back(read_figures(job / "metrics.jsonl", run));
    for (const auto& job : jobs)
        std::filesystem::remove_all(job);  // checkpoints of all rounds would fill a disk
    return together(figures);
}

}  // namespace divs::bench
