#include <cmath>
#include <map>

#include "divs/core/error.hpp"
#include "divs/core/random.hpp"
#include "divs/io/hdf5.hpp"
#include "divs/nn/backend.hpp"
#include "divs/train/weights.hpp"
#include "support/catch.hpp"
#include "support/scratch.hpp"

using namespace divs;
using namespace divs::train;
using Catch::Matchers::ContainsSubstring;
using test::Scratch;

namespace {

std::shared_ptr<nn::Backend> backend() {
    return nn::make_backend("cpu", {1, true});
}

// A model whose parameters and running statistics all differ.
std::unique_ptr<nn::Model> example(std::string_view architecture, nn::ModelSize size, std::uint64_t seed) {
    auto model = std::make_unique<nn::Model>(nn::zoo_model(architecture, size), backend());
    model->initialise(seed);
    const Random random(seed, Stream::test);
    std::uint64_t i = 0;
    for (const auto& view : model->buffer_views()) {
        const bool is_variance = view.name.ends_with("running_var");
        for (auto& value : model->buffers().subspan(view.offset, view.size))
            value = static_cast<float>(is_variance ? random.uniform(i++, 0.5, 2) : 0.1 * random.normal(i++));
    }
    return model;
}

std::vector<float> logits(nn::Model& model) {
    return make_probe(model, 2, 7).logits;
}

}  // namespace

TEST_CASE("weights: an exported model gives the same logits, bit for bit") {
    const Scratch scratch;
    for (const auto& [name, size] : {std::pair<std::string, nn::ModelSize>{"tiny", {3, 1, 32, 32}},
                                     {"resnet18", {4, 1, 40, 40}},
                                     {"mobilenet_v2", {2, 1, 32, 32}},
                                     {"tsm_resnet18", {2, 4, 32, 32}}}) {
        INFO(name);
        const auto model = example(name, size, 3);
        std::vector<std::string> classes;
        for (int c = 0; c < size.classes; ++c) classes.push_back("class " + std::to_string(c));
        const Probe probe = make_probe(*model, 2, 7);
        write_weights(scratch / "w.h5", weights_of(*model, classes, 3), &probe);
        const Weights read = read_weights(scratch / "w.h5");
        CHECK(read.classes == classes);
        CHECK(read.clip_stride == 3);
        CHECK(read.model_json == nn::to_json(model->spec()));
        const auto again = make_model(read, backend());
        CHECK(logits(*again) == probe.logits);
        const auto predictor = make_predictor(read, backend());
        CHECK(predictor->spec().nodes.size() < model->spec().nodes.size());
        const std::vector<float> folded = logits(*predictor);
        for (std::size_t i = 0; i < folded.size(); ++i)
            CHECK(folded[i] == Approx(probe.logits[i]).epsilon(1e-4).margin(1e-4));

        const io::Hdf5Reader file(scratch / "w.h5");
        CHECK(file.floats("probe/logits") == probe.logits);
        CHECK(file.bytes("probe/input") == probe.input);
        CHECK(file.integer("", "height") == size.height);
        CHECK(file.integer("", "clip_frames") == size.frames);
        CHECK(file.numbers("", "mean").size() == 3);
        std::size_t arrays = 0;
        for (const auto& entry : file.names("weights")) arrays += !entry.ends_with("num_batches_tracked");
        CHECK(arrays == model->parameter_views().size() + model->buffer_views().size());
    }
}

TEST_CASE("weights: from a checkpoint, a folder of them, or a weight file alike") {
    const Scratch scratch;
    const auto model = example("tiny", {2, 1, 32, 32}, 1);
    std::vector<float> momentum(model->parameters().size(), 0.5F);
    CheckpointInfo info;
    info.model_json = nn::to_json(model->spec());
    info.classes = {"a", "b"};
    info.step = 12;
    const OptimiserState state{{"momentum", momentum}};
    write_checkpoint(scratch / checkpoint_name(12), info, checkpoint_arrays(*model, state).arrays);
    const auto expected = logits(*model);
    const Weights weights = read_any_weights(scratch.path());
    CHECK(weights.step == 12);
    CHECK(weights.arrays.size() == model->parameter_views().size() + model->buffer_views().size());
    CHECK(logits(*make_model(weights, backend())) == expected);
    write_weights(scratch / "w.h5", weights);
    CHECK(logits(*make_model(read_any_weights(scratch / "w.h5"), backend())) == expected);
    CHECK(logits(*make_model(read_any_weights(scratch / checkpoint_name(12)), backend())) == expected);
    CHECK_THROWS_WITH(read_any_weights(scratch / "none.h5"), ContainsSubstring("none.h5"));
    CHECK_THROWS_WITH(read_weights(scratch / checkpoint_name(12)), ContainsSubstring("is not a weight file"));

    // And back into training, optimiser state and all.
    auto other = example("tiny", {2, 1, 32, 32}, 2);
    std::vector<float> other_momentum(momentum.size());
    restore(*load_newest(scratch.path()), *other, {{"momentum", other_momentum}});
    CHECK(logits(*other) == expected);
    for (const auto& view : other->parameter_views()) CHECK(other_momentum[view.offset] == 0.5F);
    // A checkpoint without optimiser state (imported weights) leaves it zero.
    write_checkpoint(scratch / checkpoint_name(13), info, checkpoint_arrays(*model, {}).arrays);
    restore(*load_newest(scratch.path()), *other, {{"momentum", other_momentum}});
    CHECK(other_momentum == std::vector<float>(momentum.size(), 0.0F));
    auto wrong = example("tiny", {3, 1, 32, 32}, 2);
    CHECK_THROWS_WITH(restore(*load_newest(scratch.path()), *wrong, {}), ContainsSubstring("expected (3"));
    CHECK_THROWS_WITH(restore(read_checkpoint(scratch / checkpoint_name(12)), *other,
                              {{"moment1", other_momentum}, {"moment2", other_momentum}}),
                      ContainsSubstring("optimiser/moment1/"));
}

TEST_CASE("weights: another number of classes starts with a new head, and only there") {
    const auto source = example("resnet18", {4, 1, 32, 32}, 1);
    const Weights weights = weights_of(*source, {"a", "b", "c", "d"}, 1);
    auto target = example("resnet18", {2, 1, 32, 32}, 2);
    const auto value = [](nn::Model& model, const std::string& name) {
        for (const auto& view : model.parameter_views())
            if (view.name == name) return model.parameters()[view.offset];
        return std::nanf("");
    };
    const float head = value(*target, "fc.weight");
    const InitReport report = init_from(*target, weights, {true, {"conv1", "layer1."}});
    CHECK(report.fresh == std::vector<std::string>{"fc.weight", "fc.bias"});
    CHECK(report.unused.empty());
    CHECK(report.loaded == weights.arrays.size() - 2);
    CHECK(value(*target, "fc.weight") == head);
    CHECK(value(*target, "layer3.1.conv2.weight") == value(*source, "layer3.1.conv2.weight"));
    for (const auto& view : target->parameter_views())
        CHECK(view.frozen == (view.name.starts_with("conv1") || view.name.starts_with("layer1.")));

    CHECK_THROWS_WITH(init_from(*target, weights, {false, {}}),
                      ContainsSubstring("fc.weight") && ContainsSubstring("(4, 512)"));
    CHECK_THROWS_WITH(init_from(*target, weights, {true, {"fc"}}), ContainsSubstring("cannot be frozen"));
    CHECK_THROWS_AS(init_from(*target, weights, {true, {"layer9"}}), ConfigError);
    auto same = example("resnet18", {4, 1, 32, 32}, 2);
    CHECK(init_from(*same, weights, {true, {}}).fresh.empty());
    CHECK(logits(*same) == logits(*source));
    auto clips = example("tsm_resnet18", {4, 2, 32, 32}, 2);  // an image model's weights start a clip model
    CHECK(init_from(*clips, weights, {true, {}}).loaded == weights.arrays.size());
    auto other = example("tiny", {4, 1, 32, 32}, 2);
    CHECK_THROWS_AS(init_from(*other, weights, {true, {}}), ConfigError);
    Weights more = weights;
    more.arrays.push_back({"extra.weight", {1}, {0}});
    CHECK(init_from(*same, more, {true, {}}).unused == std::vector<std::string>{"extra.weight"});
}

TEST_CASE("weights: damaged, edited and newer files are refused by name") {
    const Scratch scratch;
    const auto model = example("tiny", {2, 1, 32, 32}, 1);
    Weights weights = weights_of(*model, {"a", "b"}, 1);
    weights.arrays[1].values[0] = std::nanf("");
    write_weights(scratch / "nan.h5", weights);
    CHECK_THROWS_WITH(read_weights(scratch / "nan.h5"),
                      ContainsSubstring("nan.h5") && ContainsSubstring(weights.arrays[1].name) && ContainsSubstring("element 0"));
    weights = weights_of(*model, {"a", "b"}, 1);
    weights.arrays.pop_back();
    write_weights(scratch / "less.h5", weights);
    CHECK_THROWS_AS(make_model(read_weights(scratch / "less.h5"), backend()), InputError);
    weights = weights_of(*model, {"a", "b", "c"}, 1);
    write_weights(scratch / "classes.h5", weights);
    CHECK_THROWS_WITH(read_weights(scratch / "classes.h5"), ContainsSubstring("3 class names for a model of 2"));

    write_weights(scratch / "w.h5", weights_of(*model, {"a", "b"}, 1));
    std::string bytes = test::read_text(scratch / "w.h5");
    bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
    test::write_text(scratch / "flipped.h5", bytes);
    CHECK_THROWS_WITH(read_weights(scratch / "flipped.h5"), ContainsSubstring("flipped.h5: damaged"));
    io::Hdf5Writer newer;
    newer.attribute("", "kind", "divs weights");
    newer.attribute("", "format", std::int64_t{99});
    newer.save(scratch / "newer.h5");
    CHECK_THROWS_WITH(read_weights(scratch / "newer.h5"), ContainsSubstring("format 99, newer than 1"));
}
