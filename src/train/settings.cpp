#include "divs/train/settings.hpp"

#include <charconv>

#include "divs/core/error.hpp"

namespace divs::train {
namespace {

void read_clip(Config& config, video::CatalogueOptions& options) {
    const Section clip = config.section("clip");
    options.clip.frames = clip.get("frames", 1, 1, 1024);
    options.clip.stride = clip.get("stride", 1, 1, 10000);
    options.clip.hop = clip.get("hop", 0, 0, 1000000);
}

void read_augment(Config& config, video::AugmentOptions& augment) {
    const Section section = config.section("augment");
    augment.min_scale = section.get("min_scale", 1.0, 0.01, 1.0);
    augment.max_aspect = section.get("max_aspect", 1.0, 1.0, 10.0);
    augment.flip = section.get("flip", false);
    augment.brightness = section.get("brightness", 0.0, 0.0, 1.0);
    augment.contrast = section.get("contrast", 0.0, 0.0, 1.0);
    augment.saturation = section.get("saturation", 0.0, 0.0, 1.0);
}

DataSettings read_data(Config& config) {
    DataSettings data;
    const Section section = config.section("data");
    data.dataset = section.path("dataset", "");
    if (data.dataset.empty())
        throw_error<ConfigError>("data.dataset is missing: expected a descriptor or a folder");
    data.index = section.path("index", "");
    data.decode_on = video::decode_on(section.choice("decode", "auto", video::decode_on_names));
    data.decode_threads = section.get("decode_threads", 1, 1, 256);
    data.queue_bytes = static_cast<std::size_t>(section.get("queue_mib", 256, 1, 1 << 20)) << 20;
    data.mix = section.get("mix", 256, 1, 1 << 20);
    data.catalogue.shard.target_seconds = section.get("shard_seconds", 10.0, 0.1, 1e6);
    data.catalogue.shard.allow_preroll = section.get("allow_preroll", false);
    data.catalogue.limits.max_pixels =
        section.get("max_pixels", data.catalogue.limits.max_pixels, std::int64_t{1});
    data.catalogue.limits.max_seconds = section.get("max_seconds", data.catalogue.limits.max_seconds, 0.0);
    read_clip(config, data.catalogue);
    read_augment(config, data.augment);
    return data;
}

ModelSettings read_model(Config& config) {
    ModelSettings model;
    const Section section = config.section("model");
    model.name = section.get("name", model.name);
    model.file = section.path("file", "");
    model.height = section.get("height", model.height, 1, 4096);
    model.width = section.get("width", model.width, 1, 4096);
    model.init = section.path("init", "");
    model.freeze = section.strings("freeze", {});
    model.backend = section.get("backend", model.backend);
    model.threads = section.get("threads", 0, 0, 1024);
    model.precision = nn::precision_of(section.choice("precision", "float32", nn::precision_names));
    model.conv = nn::conv_choice_of(section.choice("conv", "auto", nn::conv_choice_names));
    return model;
}

OptimizerSettings read_optimizer(Config& config) {
    OptimizerSettings optimizer;
    const Section section = config.section("optimizer");
    nn::UpdateSettings& update = optimizer.update;
    update.optimizer =
        section.choice("name", "sgd", {"sgd", "adamw"}) == "sgd" ? nn::Optimizer::sgd : nn::Optimizer::adamw;
    const bool sgd = update.optimizer == nn::Optimizer::sgd;
    update.learning_rate = static_cast<float>(section.get("learning_rate", sgd ? 0.05 : 1e-3, 0.0, 1e38));
    update.weight_decay = static_cast<float>(section.get("weight_decay", sgd ? 1e-4 : 1e-2, 0.0, 1e3));
    update.momentum = static_cast<float>(section.get("momentum", 0.9, 0.0, 1.0));
    update.nesterov = section.get("nesterov", false);
    update.beta1 = static_cast<float>(section.get("beta1", 0.9, 0.0, 1.0));
    update.beta2 = static_cast<float>(section.get("beta2", 0.999, 0.0, 1.0));
    update.epsilon = static_cast<float>(section.get("epsilon", 1e-8, 0.0, 1.0));
    optimizer.clip_norm = section.get("clip_norm", 0.0, 0.0, 1e9);

    const Section loss = config.section("loss");
    optimizer.label_smoothing = loss.get("label_smoothing", 0.0, 0.0, 1.0);
    optimizer.class_weights = loss.get("class_weights", false);

    const Section schedule = config.section("schedule");
    optimizer.schedule.decay = nn::parse_decay(schedule.choice("name", "cosine", nn::decay_names()));
    optimizer.schedule.base = update.learning_rate;
    optimizer.schedule.floor = update.learning_rate * schedule.get("final_factor", 0.0, 0.0, 1.0);
    optimizer.schedule.milestones = schedule.numbers("milestones", optimizer.schedule.milestones, 0.0, 1.0);
    optimizer.schedule.factor = schedule.get("factor", optimizer.schedule.factor, 0.0, 1.0);
    optimizer.warmup_epochs = schedule.get("warmup_epochs", 0.0, 0.0, 1e6);
    return optimizer;
}

RunSettings read_run(Config& config) {
    RunSettings run;
    const Section section = config.section("train");
    run.folder = section.path("folder", run.folder.string());
    run.epochs = section.get("epochs", run.epochs, 1, 1000000);
    run.batch = section.get("batch", run.batch, 1, 1 << 20);
    run.seed = static_cast<std::uint64_t>(section.get("seed", std::int64_t{1}, std::int64_t{0}));
    run.deterministic = section.get("deterministic", false);
    // A deterministic run's batches must not depend on who holds what.
    run.order =
        section.choice("order", run.deterministic ? "global" : "local", {"local", "global"}) == "global"
            ? Order::global
            : Order::local;
    if (run.deterministic && run.order == Order::local)
        throw_error<ConfigError>(
            "train.order = \"local\" with train.deterministic = true: expected \"global\"");
    run.norm = section.choice("norm", "local", {"local", "sync"}) == "sync" ? Norm::sync : Norm::local;
    run.overlap = section.get("overlap", true);
    run.bucket_mib = section.get("bucket_mib", run.deterministic ? 4.0 : 0.0, 0.0, 65536.0);
    const Section comm = config.section("comm");
    run.shared_memory = comm.get("shared_memory", run.shared_memory);
    run.nccl = comm.get("nccl", run.nccl);
    run.nccl_start_seconds = comm.get("nccl_start_s", run.nccl_start_seconds, 0.1, 1e6);
    run.checkpoint_steps = section.get("checkpoint_steps", 0, 0);
    run.checkpoint_seconds = section.get("checkpoint_seconds", run.checkpoint_seconds, 0.0);
    run.checkpoint_epochs = section.get("checkpoint_epochs", run.checkpoint_epochs, 0);
    run.keep_last = section.get("keep_last", run.keep_last, 1, 1000);
    run.evaluate_epochs = section.get("evaluate_epochs", run.evaluate_epochs, 0);
    run.hash_steps = section.get("hash_steps", run.hash_steps, 0);
    run.trace = section.get("trace", false);
    return run;
}

}  // namespace

Throttle parse_throttle(const std::string& text) {
    Throttle throttle;
    const char* end = text.data() + text.size();
    auto [after_rank, rank_error] = std::from_chars(text.data(), end, throttle.rank);
    if (rank_error == std::errc() && after_rank != end && *after_rank == '=') {
        auto [after_factor, factor_error] = std::from_chars(after_rank + 1, end, throttle.factor);
        const bool has_step = after_factor != end && *after_factor == '@';
        const auto step = has_step ? std::from_chars(after_factor + 1, end, throttle.step)
                                   : std::from_chars_result{after_factor, std::errc()};
        if (factor_error == std::errc() && step.ec == std::errc() && step.ptr == end && throttle.rank >= 0 &&
            throttle.factor >= 1 && throttle.step >= 0)
            return throttle;
    }
    throw_error<ConfigError>("--throttle {}: expected RANK=FACTOR[@STEP] with a factor of 1 or more", text);
}

Settings read_settings(Config& config) {
    Settings settings;
    settings.data = read_data(config);
    settings.model = read_model(config);
    settings.optimizer = read_optimizer(config);
    settings.run = read_run(config);
    settings.scheduler = sched::SchedulerOptions::from(config);
    settings.scheduler.batch = settings.run.batch;
    settings.scheduler.global_order = settings.run.order == Order::global;
    if (settings.run.deterministic) settings.scheduler.enabled = false;  // shares stay as they are
    settings.world = read_world_options(config);
    settings.effective = config.to_toml();
    return settings;
}

comm::WorldOptions read_world_options(Config& config) {
    comm::WorldOptions options;
    const Section comm = config.section("comm");
    options.timeout_seconds = comm.get("timeout_s", options.timeout_seconds, 0.0, 1e9);
    options.thread = comm.get("thread", true);
    const Section topology = config.section("topology");
    options.cluster_size = topology.get("cluster_size", 0, 0, 1 << 20);
    auto link = [&](std::string_view key) -> comm::WorldOptions::Link {
        const auto values = topology.numbers(key, {}, 0.0);
        if (values.empty()) return {};
        if (values.size() != 2)
            throw_error<ConfigError>("topology.{}: expected [latency in s, bandwidth in bytes/s]", key);
        return {values[0], values[1]};
    };
    options.emulate_cluster = link("emulate_cluster");
    options.emulate_centre = link("emulate_centre");
    return options;
}

}  // namespace divs::train
