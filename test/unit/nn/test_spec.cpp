#include <string>

#include "divs/core/error.hpp"
#include "divs/core/random.hpp"
#include "model_helpers.hpp"
#include "support/catch.hpp"

using namespace divs::nn;
using Catch::Matchers::ContainsSubstring;

namespace {

constexpr ModelSize size{4, 1, 32, 32};

std::string message(const std::string& text, const ModelSize& of = size) {
    try {
        parse_model(text, of, "net.txt");
    } catch (const divs::ConfigError& e) {
        return e.what();
    }
    return "no error";
}

}  // namespace

TEST_CASE("the text form gives the operations that it says") {
    const ModelSpec spec = parse_model(R"(
# a comment
stem = conv out=8 kernel=3x5 stride=2x1 pad=1x2 groups=1 bias   # another
relu
maxpool kernel=3 pad=1
a=conv out=6
norm epsilon=0.001 momentum=0.2 relu6
dropout rate=0.3
dropout rate=0.4
adaptive_pool out=2x3
linear out=classes bias=false
)",
                                       size);
    CHECK(spec.architecture == "custom");
    const auto conv = std::get<Conv2d>(node(spec, "stem").op);
    CHECK((conv.out_channels == 8 && conv.kernel_h == 3 && conv.kernel_w == 5 && conv.stride_h == 2 &&
           conv.stride_w == 1 && conv.pad_h == 1 && conv.pad_w == 2 && conv.bias));
    const auto pool = std::get<Pool>(node(spec, "maxpool5").op);
    CHECK((pool.kernel_h == 3 && pool.stride_h == 3 && pool.stride_w == 3 && pool.pad_w == 1));
    CHECK(node(spec, "a").inputs == std::vector<int>{2});
    const auto norm = std::get<BatchNorm>(node(spec, "norm7").op);
    CHECK((norm.epsilon == 0.001F && norm.momentum == 0.2F && norm.activation == Activation::relu6));
    CHECK(std::get<Dropout>(node(spec, "dropout8").op).layer == 0);
    CHECK(std::get<Dropout>(node(spec, "dropout9").op).layer == 1);
    CHECK_FALSE(std::get<Linear>(spec.nodes.back().op).bias);
    CHECK(std::get<Linear>(spec.nodes.back().op).out_features == 4);
}

TEST_CASE("a clip model averages its frames at the end") {
    const ModelSpec spec = parse_model("adaptive_pool\nlinear out=classes", {2, 5, 8, 8});
    REQUIRE(spec.nodes.size() == 3);
    CHECK(std::get<FrameMean>(spec.nodes.back().op).frames == 5);
    const ModelSpec early = parse_model("adaptive_pool\nframe_mean\nlinear out=classes", {2, 5, 8, 8});
    CHECK(std::holds_alternative<Linear>(early.nodes.back().op));
}

TEST_CASE("an lstm reads the clips of its model, and comes back from text and JSON") {
    const ModelSpec spec = parse_model("conv out=4\nmemory = lstm out=12\nlstm out=classes", {2, 5, 8, 6});
    REQUIRE(spec.nodes.size() == 4);
    const auto first = std::get<Lstm>(node(spec, "memory").op),
               second = std::get<Lstm>(node(spec, "lstm3").op);
    CHECK((first.frames == 5 && first.hidden == 12 && second.frames == 5 && second.hidden == 2));
    CHECK(std::get<FrameMean>(spec.nodes.back().op).frames == 5);
    CHECK(node_shapes(spec, 3)[1] == Shape{15, 1, 1, 12});
    CHECK(parse_model(to_text(spec), {2, 5, 8, 6}) == spec);
    CHECK(from_json(to_json(spec)) == spec);
    CHECK_THAT(to_text(spec), ContainsSubstring("memory = lstm out=12\n"));
    ModelSpec other = spec;
    std::get<Lstm>(other.nodes[1].op).hidden = 13;
    CHECK_FALSE(other == spec);
}

TEST_CASE("an lstm that does not fit is refused, from text and from JSON") {
    constexpr ModelSize clip{2, 5, 8, 6};
    CHECK_THAT(message("lstm\nlinear out=classes", clip),
               ContainsSubstring("net.txt:1:") && ContainsSubstring("0 outputs, expected at least 1"));
    CHECK_THAT(message("lstm out=-3", clip), ContainsSubstring("out=-3"));
    CHECK_THAT(message("lstm out=3 layers=2", clip), ContainsSubstring("'layers'"));
    CHECK_THAT(message("lstn out=3", clip), ContainsSubstring("did you mean 'lstm'"));
    CHECK_THAT(message("frame_mean\nlstm out=3", clip), ContainsSubstring("its input has 1"));
    CHECK_THAT(message("lstm out=1000000", {2, 5, 64, 64}), ContainsSubstring("elements"));
    const std::string good = to_json(parse_model("lstm out=classes", clip));
    for (const auto& [from, to] :
         {std::pair{"\"out\":2", "\"out\":0"}, std::pair{"\"out\":2", "\"out\":\"2\""},
          std::pair{"\"out\":2", "\"in\":2"}}) {
        std::string text = good;
        const auto at = text.find(from);
        REQUIRE(at != std::string::npos);
        CHECK_THROWS_AS(from_json(text.replace(at, std::string(from).size(), to)), divs::InputError);
    }
    ModelSpec shorter = from_json(good);
    std::get<Lstm>(shorter.nodes[0].op).frames = 1;
    CHECK_THROWS_WITH(validate(shorter), ContainsSubstring("works on 1 frames"));
}

TEST_CASE("norm, addition and activation become one operation and keep their parameters") {
    const ModelSpec spec = divs::nn::test::small_model("residual");
    const Node& fused = node(spec, "branch");
    const auto norm = std::get<BatchNorm>(fused.op);
    CHECK((norm.residual && norm.activation == Activation::relu));
    REQUIRE(fused.inputs.size() == 2);
    CHECK(spec.nodes[static_cast<std::size_t>(fused.inputs[1])].name == "x");
    for (const Node& n : spec.nodes)
        CHECK_FALSE((std::holds_alternative<Add>(n.op) || std::holds_alternative<Activate>(n.op)));
}

TEST_CASE("nothing is fused over a value that someone else reads") {
    const ModelSpec spec = parse_model(R"(
        conv out=4
        n = norm
        r = relu
        s = add from=r,n
        adaptive_pool
        linear out=classes)",
                                       size);
    CHECK(std::get<BatchNorm>(node(spec, "n").op).activation == Activation::none);
    CHECK(std::holds_alternative<Activate>(node(spec, "r").op));
    CHECK(std::holds_alternative<Add>(node(spec, "s").op));
}

TEST_CASE("fusing what is fused changes nothing") {
    for (const std::string& name : zoo_names()) {
        const ModelSpec spec = zoo_model(name, {5, 4, 96, 96});
        CHECK(fuse(spec) == spec);
    }
}

TEST_CASE("every zoo model comes back from its JSON and its text") {
    for (const std::string& name : zoo_names()) {
        INFO(name);
        for (const int frames : {1, 4}) {
            ModelSpec spec = zoo_model(name, {7, frames, 96, 80});
            spec.mean = {0.1F, 0.2F, 0.3F};
            CHECK(from_json(to_json(spec)) == spec);
            ModelSpec text = parse_model(to_text(spec), {7, frames, 96, 80});
            text.architecture = spec.architecture;
            text.mean = spec.mean;
            CHECK(text == spec);
        }
    }
}

TEST_CASE("models differ when any field differs") {
    const ModelSpec spec = zoo_model("tiny", size);
    ModelSpec other = spec;
    CHECK(other == spec);
    std::get<Conv2d>(other.nodes[0].op).pad_w = 3;
    CHECK_FALSE(other == spec);
}

TEST_CASE("errors of the text form name the line, the word and the near one") {
    CHECK_THAT(message("conv out=4\ncovn out=4"),
               ContainsSubstring("net.txt:2:") && ContainsSubstring("'covn'") && ContainsSubstring("'conv'"));
    CHECK_THAT(message("conv out=4 kernal=3"),
               ContainsSubstring("net.txt:1:") && ContainsSubstring("'kernal'") && ContainsSubstring("'kernel'"));
    CHECK_THAT(message("conv out=4 kernel=3y3"), ContainsSubstring("kernel=3y3") && ContainsSubstring("whole number"));
    CHECK_THAT(message("conv out=-4"), ContainsSubstring("out=-4"));
    CHECK_THAT(message("conv out=4 out=5"), ContainsSubstring("'out' is given twice"));
    CHECK_THAT(message("a/b = conv out=4"), ContainsSubstring("'a/b' holds '/'"));
    CHECK_THAT(message("dropout rate=half"), ContainsSubstring("rate=half") && ContainsSubstring("a number"));
    CHECK_THAT(message("stem = conv out=4\nrelu from=sten"),
               ContainsSubstring("net.txt:2:") && ContainsSubstring("did you mean 'stem'"));
    CHECK_THAT(message("a = relu\na = relu"), ContainsSubstring("net.txt:2:") && ContainsSubstring("used twice"));
    CHECK_THAT(message("a = "), ContainsSubstring("operation is missing"));
    CHECK_THAT(message("conv out=4 kernel=99"), ContainsSubstring("net.txt:1:") && ContainsSubstring("99"));
    CHECK_THAT(message("conv out=4\n\nadd from=conv1"),
               ContainsSubstring("net.txt:3:") && ContainsSubstring("1 inputs, expected 2"));
    CHECK_THAT(message("conv out=4\nlinear out=3"), ContainsSubstring("expected (1, 1, 1, 4)"));
    CHECK_THAT(message("x = conv out=4\nadaptive_pool from=input\nlinear out=classes"),
               ContainsSubstring("nothing reads 'x'"));
    CHECK_THAT(message(""), ContainsSubstring("no operation"));
    CHECK_THAT(message("linear out=classes", {4, 1, 0, 32}), ContainsSubstring("height is 0"));
    CHECK_THAT(message("norm epsilon=0\nlinear out=classes"), ContainsSubstring("net.txt:1:"));
    CHECK_THAT(message("relu = "), ContainsSubstring("net.txt:1:"));
}

TEST_CASE("JSON that is no model is an input error, whatever is wrong") {
    const std::string good = to_json(zoo_model("tiny", size));
    REQUIRE_NOTHROW(from_json(good));
    auto with = [&](const std::string& from, const std::string& to) {
        std::string text = good;
        const auto at = text.find(from);
        REQUIRE(at != std::string::npos);
        return text.replace(at, from.size(), to);
    };
    CHECK_THROWS_AS(from_json(""), divs::InputError);
    CHECK_THROWS_AS(from_json("[]"), divs::InputError);
    CHECK_THROWS_WITH(from_json(with("\"format\":1", "\"format\":9")), ContainsSubstring("newer"));
    CHECK_THROWS_WITH(from_json(with("\"op\":\"conv\"", "\"op\":\"conf\"")), ContainsSubstring("conf"));
    CHECK_THROWS_AS(from_json(with("\"classes\":4", "\"classes\":-4")), divs::InputError);
    CHECK_THROWS_AS(from_json(with("\"classes\":4", "\"classes\":4.5")), divs::InputError);
    CHECK_THROWS_AS(from_json(with("\"classes\":4", "\"classes\":99999999999")), divs::InputError);
    CHECK_THROWS_AS(from_json(with("\"height\":32", "\"height\":null")), divs::InputError);
    CHECK_THROWS_AS(from_json(with("\"inputs\":[\"input\"]", "\"inputs\":[\"later\"]")), divs::InputError);
    CHECK_THROWS_AS(from_json(with("\"kernel\":[5,5]", "\"kernel\":[5000,5]")), divs::InputError);
    CHECK_THROWS_AS(from_json(with("\"kernel\":[5,5]", "\"kernel\":[5]")), divs::InputError);
}

TEST_CASE("damaged JSON never does worse than an input error") {
    const std::string good = to_json(zoo_model("tiny", size));
    const divs::Random random(5, divs::Stream::test);
    for (std::uint64_t round = 0; round < 400; ++round) {
        std::string text = good;
        for (std::uint64_t k = 0; k < 1 + round % 4; ++k)
            text[random.below(round * 8 + k, text.size())] =
                static_cast<char>(32 + random.below(round * 8 + k + 4, 95));
        try {
            from_json(text);
        } catch (const divs::InputError&) {
        }
    }
    SUCCEED();
}
