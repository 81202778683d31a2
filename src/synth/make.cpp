#include "divs/synth/make.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <set>
#include <thread>

#include "crops.hpp"
#include "divs/core/build_info.hpp"
#include "divs/core/clock.hpp"
#include "divs/core/error.hpp"
#include "output.hpp"
#include "truth.hpp"

namespace divs::synth {
namespace fs = std::filesystem;
namespace {

constexpr int preview_columns = 5, preview_rows = 5, preview_width = 320;

// What one video added to the data set.
struct Made {
    std::vector<TableRow> rows;
    std::uint64_t frames = 0, boxes = 0, crossings = 0, bytes = 0;
    double seconds = 0;
    Picture thumbnail;
};

Picture thumbnail_of(const Picture& picture) {
    const int height = preview_width * picture.height / picture.width / 2 * 2;
    return crop_scaled(picture, 0, 0, static_cast<float>(picture.width), static_cast<float>(picture.height),
                       preview_width, height);
}

// Rows of the table: neighbouring intervals of one level become one row.
std::vector<TableRow> level_rows(const std::string& path, const VideoPlan& plan,
                                 const std::vector<LevelInterval>& intervals) {
    std::vector<TableRow> rows;
    for (const LevelInterval& i : intervals) {
        const std::string label(level_names[static_cast<std::size_t>(i.level)]);
        if (!rows.empty() && rows.back().label == label) {
            rows.back().end = i.end;
        } else {
            rows.push_back(
                {path, label, std::string(video::split_name(plan.split)), plan.group, i.start, i.end});
        }
    }
    return rows;
}

void note(Made& made, const FrameTruth& truth, const Picture& picture, const Recording& recording,
          bool wanted) {
    ++made.frames;
    made.boxes += truth.boxes.size();
    if (wanted && made.frames == recording.frames() / 2 + 1) made.thumbnail = thumbnail_of(picture);
}

Made make_video(const SynthOptions& o, const VideoPlan& plan, const fs::path& out, bool thumbnail) {
    Made made;
    Recording recording(o, plan);
    VideoTruth truth;
    truth.file = fmt::format("videos/{}.{}", plan.name, o.container);
    video::EncodeOptions encode;
    encode.codec = o.codec;
    encode.width = o.width;
    encode.height = o.height;
    encode.frame_rate = o.fps;
    encode.gop = o.gop;
    encode.open_gop = o.open_gop;
    encode.bframes = o.bframes;
    encode.quality = o.quality;
    video::VideoEncoder encoder(out / truth.file, encode);
    truth.time_base = encoder.time_base();
    FrameTruth frame;
    while (const Picture* picture = recording.next(frame)) {
        frame.pts = encoder.write(picture->view(), frame.seconds);
        note(made, frame, *picture, recording, thumbnail);
        truth.frames.push_back(std::move(frame));
    }
    encoder.close();
    write_truth(out / "truth" / (plan.name + ".jsonl"), o, plan, recording, truth);
    made.rows = level_rows(truth.file, plan, recording.intervals());
    made.crossings = recording.crossings().size();
    made.seconds = recording.seconds();
    made.bytes = fs::file_size(out / truth.file);
    return made;
}

Made make_crops(const SynthOptions& o, const VideoPlan& plan, const fs::path& out, bool thumbnail) {
    Made made;
    Recording recording(o, plan);
    CropCollector collector(o.crop);
    FrameTruth frame;
    while (const Picture* picture = recording.next(frame)) {
        collector.look(*picture, frame);
        note(made, frame, *picture, recording, thumbnail);
    }
    for (const Crop& crop : collector.take()) {
        const std::string label(vehicle_class_names[static_cast<std::size_t>(crop.kind)]);
        const std::string path = fmt::format("crops/{}/{}-{:05}.jpg", label, plan.name, crop.track);
        video::write_image(out / path, crop.picture.view());
        made.rows.push_back({path, label, std::string(video::split_name(plan.split)), plan.group});
        made.bytes += fs::file_size(out / path);
    }
    made.seconds = recording.seconds();
    return made;
}

// Makes classes equally frequent in each split: of every class the first ones stay, the others are deleted.
void balance_crops(std::vector<TableRow>& rows, const fs::path& out) {
    std::map<std::string, std::map<std::string, std::size_t>> count;
    for (const TableRow& row : rows) ++count[row.split][row.label];
    std::map<std::string, std::map<std::string, std::size_t>> kept;
    std::erase_if(rows, [&](const TableRow& row) {
        const auto& classes = count[row.split];
        std::size_t least = classes.size() == vehicle_class_names.size() ? classes.begin()->second : 0;
        for (const auto& [label, n] : classes) least = std::min(least, n);
        if (kept[row.split][row.label]++ < least) return false;
        fs::remove(out / row.path);
        return true;
    });
}

void write_preview(const std::vector<Made>& made, const fs::path& file) {
    std::vector<const Picture*> pictures;
    for (const Made& m : made) {
        if (m.thumbnail.width > 0) pictures.push_back(&m.thumbnail);
    }
    if (pictures.empty()) return;
    const int columns = std::min<int>(preview_columns, static_cast<int>(pictures.size()));
    const int rows = (static_cast<int>(pictures.size()) + columns - 1) / columns;
    Picture sheet(pictures[0]->width * columns, pictures[0]->height * rows);
    for (std::size_t i = 0; i < pictures.size(); ++i) {
        const Picture& p = *pictures[i];
        const int left = static_cast<int>(i) % columns * p.width,
                  top = static_cast<int>(i) / columns * p.height;
        for (std::size_t plane = 0; plane < 3; ++plane) {
            for (int y = 0; y < p.height; ++y) {
                std::copy_n(p.planes[plane].data() + p.at(0, y), p.width,
                            sheet.planes[plane].data() + sheet.at(left, top + y));
            }
        }
    }
    video::write_image(file, sheet.view());
}

// Runs work(i) for i in [0, count) on several threads; the first failure ends all and is thrown.
void for_each_parallel(int count, int threads, const std::function<void(int)>& work) {
    std::atomic<int> next{0};
    std::mutex mutex;
    std::exception_ptr failure;
    const auto loop = [&] {
        for (int i = next++; i < count; i = next++) {
            try {
                work(i);
            } catch (...) {
                const std::lock_guard lock(mutex);
                if (!failure) failure = std::current_exception();
                next = count;
            }
        }
    };
    std::vector<std::jthread> pool;
    for (int t = 1; t < std::min(threads, count); ++t) pool.emplace_back(loop);
    loop();
    pool.clear();
    if (failure) std::rethrow_exception(failure);
}

}  // namespace

Summary make_dataset(const SynthOptions& o, const fs::path& out,
                     const std::function<void(int done, int all)>& progress) {
    const Stopwatch watch;
    const std::vector<VideoPlan> plans = plan_videos(o);
    prepare_folder(out, o);
    std::vector<Made> made(plans.size());
    std::mutex mutex;
    int done = 0;
    for_each_parallel(static_cast<int>(plans.size()), o.threads > 0 ? o.threads : usable_cores(), [&](int i) {
        const auto n = static_cast<std::size_t>(i);
        const bool thumbnail = o.preview && i < preview_columns * preview_rows;
        made[n] = o.task == Task::level ? make_video(o, plans[n], out, thumbnail)
                                        : make_crops(o, plans[n], out, thumbnail);
        const std::lock_guard lock(mutex);
        ++done;
        if (progress) progress(done, static_cast<int>(plans.size()));
    });
    Summary summary;
    std::vector<TableRow> rows;
    std::set<int> scenes;
    for (const VideoPlan& plan : plans) scenes.insert(plan.scene);
    for (Made& m : made) {
        rows.insert(rows.end(), m.rows.begin(), m.rows.end());
        summary.frames += m.frames;
        summary.boxes += m.boxes;
        summary.crossings += m.crossings;
        summary.bytes += m.bytes;
        summary.seconds += m.seconds;
    }
    if (o.task == Task::vehicles) balance_crops(rows, out);
    write_table(out, rows);
    if (o.preview) write_preview(made, out / "preview.png");
    summary.videos = o.videos;
    summary.scenes = static_cast<int>(scenes.size());
    summary.crops = o.task == Task::vehicles ? rows.size() : 0;
    for (const TableRow& row : rows) ++summary.rows[row.split][row.label];
    summary.wall_seconds = watch.seconds();
    return summary;
}

}  // namespace divs::synth
