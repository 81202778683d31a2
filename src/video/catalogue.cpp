#include <algorithm>
#include <tuple>

#include "divs/core/error.hpp"
#include "divs/io/bytes.hpp"
#include "divs/video/dataset.hpp"

namespace divs::video {

using Times = std::vector<std::int64_t>;  // pts, rising

Times frame_times(const VideoIndex& index, const Shard& shard) {
    Times times;
    times.reserve(shard.frames);
    for (std::uint32_t i = shard.first_packet; i < shard.end_packet; ++i)
        if (index.packets[i].gives_frame()) times.push_back(index.packets[i].pts);
    std::sort(times.begin(), times.end());
    times.erase(std::unique(times.begin(), times.end()), times.end());
    return times;
}

namespace {

// Seconds from the first pts; correctly rounded, so that a frame at exactly 2 s is in an interval that starts
// at 2.
class Clock {
  public:
    explicit Clock(const VideoIndex& index) : first_(index.first_pts()), base_(index.time_base) {}
    double seconds(std::int64_t pts) const noexcept {
        return static_cast<double>(pts - first_) * base_.num / base_.den;
    }

  private:
    std::int64_t first_;
    Rational base_;
};

// The part of a shard's frames that lies in [start, end) seconds.
std::span<const std::int64_t> within(const Clock& clock, const Times& times, const LabelRow& row) {
    auto before = [&](double limit) {
        return [&, limit](std::int64_t pts) { return clock.seconds(pts) < limit; };
    };
    const auto first = std::partition_point(times.begin(), times.end(), before(row.start));
    const auto last = row.end < 0 ? times.end() : std::partition_point(first, times.end(), before(row.end));
    return {first, last};
}

// The clip that starts at frame `first`; frames past the end repeat the last one.
Times clip_at(std::span<const std::int64_t> times, std::size_t first, const ClipOptions& clip) {
    Times pts(static_cast<std::size_t>(clip.frames));
    for (std::size_t t = 0; t < pts.size(); ++t)
        pts[t] = times[std::min(first + t * static_cast<std::size_t>(clip.stride), times.size() - 1)];
    return pts;
}

class Planner {
  public:
    Planner(Catalogue& catalogue, const CatalogueOptions& options)
        : catalogue_(catalogue), options_(options) {}

    void plan_file(std::uint32_t file, std::span<const std::uint32_t> rows) {
        const VideoIndex& index = catalogue_.files[file];
        if (!index.quarantine.empty()) return;
        const auto first_shard = static_cast<std::uint32_t>(catalogue_.shards.size());
        const std::vector<Shard> shards = plan_shards(index, file, first_shard, options_.shard);
        std::vector<Times> times;
        for (const Shard& shard : shards) times.push_back(frame_times(index, shard));
        catalogue_.shards.insert(catalogue_.shards.end(), shards.begin(), shards.end());

        std::vector<Sample> samples;
        const Clock clock(index);
        for (const std::uint32_t row : rows) plan_row(clock, row, first_shard, times, samples);
        std::sort(samples.begin(), samples.end(), [](const Sample& a, const Sample& b) {
            return std::tie(a.shard, a.pts.front()) < std::tie(b.shard, b.pts.front());
        });
        for (Sample& sample : samples) {
            sample.id = catalogue_.samples.size();
            catalogue_.samples.push_back(std::move(sample));
        }
    }

  private:
    void plan_row(const Clock& clock, std::uint32_t number, std::uint32_t first_shard,
                  const std::vector<Times>& times, std::vector<Sample>& samples) {
        const LabelRow& row = catalogue_.dataset.rows[number];
        const ClipOptions& clip = options_.clip;
        const auto span =
            static_cast<std::size_t>(clip.frames - 1) * static_cast<std::size_t>(clip.stride) + 1;
        const std::size_t hop =
            clip.hop > 0 ? static_cast<std::size_t>(clip.hop)
                         : static_cast<std::size_t>(clip.frames) * static_cast<std::size_t>(clip.stride);
        const std::size_t before = samples.size();
        auto add = [&](std::size_t shard, Times pts) {
            samples.push_back(
                {0, first_shard + static_cast<std::uint32_t>(shard), row.label, row.split, std::move(pts)});
        };
        std::size_t longest = 0;
        for (std::size_t s = 0; s < times.size(); ++s) {
            const auto part = within(clock, times[s], row);
            if (part.size() > within(clock, times[longest], row).size()) longest = s;
            for (std::size_t first = 0; first + span <= part.size(); first += hop)
                add(s, clip_at(part, first, clip));
        }
        if (samples.size() > before) return;
        const auto part =
            times.empty() ? std::span<const std::int64_t>{} : within(clock, times[longest], row);
        if (part.empty())
            catalogue_.empty_rows.push_back(number);
        else
            add(longest, clip_at(part, 0, clip));
    }

    Catalogue& catalogue_;
    const CatalogueOptions& options_;
};

std::uint64_t fingerprint_of(const Catalogue& catalogue) {
    io::Hash64 hash;
    auto add = [&](auto... numbers) { (hash.add(static_cast<std::uint64_t>(numbers)), ...); };
    for (const std::string& name : catalogue.dataset.classes) hash.add(std::string_view(name));
    for (std::size_t i = 0; i < catalogue.files.size(); ++i) {
        hash.add(std::string_view(catalogue.dataset.files[i]));
        add(catalogue.files[i].fingerprint);
    }
    for (const Shard& shard : catalogue.shards)
        add(shard.file, shard.first_packet, shard.end_packet, shard.preroll_packets);
    for (const Sample& sample : catalogue.samples) {
        add(sample.shard, sample.label, sample.split);
        for (const std::int64_t pts : sample.pts) add(pts);
    }
    return hash.value();
}

void check(const Dataset& dataset, const std::vector<VideoIndex>& files, const ClipOptions& clip) {
    if (files.size() != dataset.files.size())
        throw_error<Error>("data set {}: {} indexes for {} files", dataset.name, files.size(),
                           dataset.files.size());
    if (clip.frames < 1 || clip.stride < 1 || clip.hop < 0)
        throw_error<ConfigError>("clips of {} frames, stride {}, hop {}: expected at least 1, 1 and 0",
                                 clip.frames, clip.stride, clip.hop);
}

}  // namespace

Catalogue make_catalogue(Dataset dataset, std::vector<VideoIndex> files, const CatalogueOptions& options) {
    check(dataset, files, options.clip);
    std::vector<std::vector<std::uint32_t>> rows_of(files.size());
    for (std::uint32_t row = 0; row < dataset.rows.size(); ++row)
        rows_of[dataset.rows[row].file].push_back(row);

    Catalogue catalogue;
    catalogue.dataset = std::move(dataset);
    catalogue.clip = options.clip;
    catalogue.files = std::move(files);
    Planner planner(catalogue, options);
    for (std::uint32_t file = 0; file < rows_of.size(); ++file) planner.plan_file(file, rows_of[file]);
    catalogue.shard_samples.resize(catalogue.shards.size());
    for (const Sample& sample : catalogue.samples) catalogue.shard_samples[sample.shard].push_back(sample.id);
    catalogue.fingerprint = fingerprint_of(catalogue);
    return catalogue;
}

std::vector<std::uint64_t> Catalogue::samples_of(Split split) const {
    std::vector<std::uint64_t> ids;
    for (const Sample& sample : samples)
        if (sample.split == split) ids.push_back(sample.id);
    return ids;
}

std::vector<std::pair<std::string, std::string>> Catalogue::quarantined() const {
    std::vector<std::pair<std::string, std::string>> found;
    for (std::size_t i = 0; i < files.size(); ++i)
        if (!files[i].quarantine.empty()) found.emplace_back(dataset.files[i], files[i].quarantine);
    return found;
}

const std::string& Catalogue::file_of(std::uint64_t sample) const {
    return files.at(shards.at(samples.at(sample).shard).file).path;
}

}  // namespace divs::video
