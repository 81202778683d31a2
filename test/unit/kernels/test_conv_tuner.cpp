// The choice of convolution algorithms, on the double of a GPU: every candidate agrees with the definition,
// wrong ones are found out, and choices outlive the process in a file that may be anything.
#include <filesystem>
#include <fstream>
#include <set>

#include "conv_data.hpp"
#include "cuda/convolution_algorithms.hpp"
#include "cuda/convolution_cache.hpp"
#include "cuda/convolution_shape.hpp"
#include "cuda/convolution_trial.hpp"
#include "cuda/device.hpp"
#include "device_double.hpp"
#include "support/catch.hpp"
#include "support/scratch.hpp"

using namespace divs;
using namespace divs::nn;
using namespace divs::nn::cuda;

namespace {

ConvProblem problem_of(const kernels::ConvShape& s, Arithmetic arithmetic) {
    ConvProblem p;
    p.in = {s.n, s.h, s.w, s.c};
    p.op = kernels::test::conv_op(s);
    p.arithmetic = arithmetic;
    if (s.shift > 0) p.shift = {s.frames, s.c / s.shift};
    return p;
}

ConvProblem small_problem() {
    return problem_of(kernels::test::conv_shape(2, 6, 7, 16, 24, 3, 1, 1), Arithmetic::bf16);
}

// Leaves out the last element.
class Wrong final : public ConvAlgorithm {
  public:
    explicit Wrong(std::unique_ptr<ConvAlgorithm> right, std::size_t bytes, bool zero)
        : right_(std::move(right)), bytes_(bytes), zero_(zero) {}
    std::string name() const override { return "wrong"; }
    WeightOrder weight_order() const noexcept override { return right_->weight_order(); }
    std::size_t workspace_bytes() const noexcept override { return right_->workspace_bytes(); }
    void run(const ConvArguments& x, cudaStream_t stream) const override {
        right_->run(x, stream);
        cudaMemsetAsync(x.out, zero_ ? 0 : 0xFF, zero_ ? bytes_ / 8 : 2, stream);
    }

  private:
    std::unique_ptr<ConvAlgorithm> right_;
    std::size_t bytes_;
    bool zero_;
};

// Makes zeros of all that it computes.
class Hiding final : public ConvAlgorithm {
  public:
    Hiding(std::unique_ptr<ConvAlgorithm> right, std::size_t bytes)
        : right_(std::move(right)), bytes_(bytes) {}
    std::string name() const override { return "hiding"; }
    WeightOrder weight_order() const noexcept override { return right_->weight_order(); }
    std::size_t workspace_bytes() const noexcept override { return right_->workspace_bytes(); }
    void run(const ConvArguments& x, cudaStream_t stream) const override {
        right_->run(x, stream);
        cudaMemsetAsync(x.out, 0, bytes_, stream);
    }

  private:
    std::unique_ptr<ConvAlgorithm> right_;
    std::size_t bytes_;
};

}  // namespace

TEST_CASE("every candidate computes its convolution") {
    const Device device(0);
    std::vector<kernels::ConvShape> shapes;
    for (const auto& c : kernels::test::conv_cases()) shapes.push_back(c.shape);
    for (const auto& c : kernels::test::odd_cases()) shapes.push_back(c.shape);
    shapes.push_back(kernels::test::conv_shape(2, 7, 9, 24, 24, 3, 2, 1, 1, 24));
    int tried = 0;
    for (const auto arithmetic : {Arithmetic::f32, Arithmetic::tf32, Arithmetic::bf16})
        for (const auto& shape : shapes)
            for (const auto direction :
                 {Direction::forward, Direction::backward_data, Direction::backward_weights}) {
                ConvProblem p = problem_of(shape, arithmetic);
                if (direction == Direction::forward) {
                    p.op.bias = p.op.residual = true;
                    p.op.activation = tried % 2 == 0 ? Activation::relu : Activation::relu6;
                }
                ConvTrial trial(device, p, direction);
                const auto candidates = divs_algorithms(device, p, direction, std::size_t{1} << 24);
                REQUIRE_FALSE(candidates.empty());
                for (const auto& candidate : candidates) {
                    INFO(key_of(p, direction) << ": " << candidate->name());
                    CHECK(trial.error(*candidate) <= trial.tolerance());
                    CHECK(trial.keeps_not_finite(*candidate));
                    ++tried;
                }
            }
    CHECK(tried > 300);
}

TEST_CASE("an algorithm that is wrong somewhere is found out") {
    const Device device(0);
    const ConvProblem p = small_problem();
    ConvTrial trial(device, p, Direction::forward);
    const std::size_t bytes = p.out().size() * 2;
    auto right = [&] { return std::move(divs_algorithms(device, p, Direction::forward, 1 << 24).front()); };
    CHECK(trial.error(*right()) <= trial.tolerance());
    CHECK(trial.error(Wrong(right(), bytes, true)) > trial.tolerance());
    CHECK(trial.error(Wrong(right(), bytes, false)) > trial.tolerance());
}

TEST_CASE("an algorithm whose activation hides what is no number is found out") {
    const Device device(0);
    ConvProblem p = small_problem();
    auto right = [&] { return std::move(divs_algorithms(device, p, Direction::forward, 1 << 24).front()); };
    CHECK(ConvTrial(device, p, Direction::forward).keeps_not_finite(Hiding(right(), p.out().size() * 2)));
    p.op.activation = Activation::relu;
    ConvTrial trial(device, p, Direction::forward);
    CHECK(trial.keeps_not_finite(*right()));
    CHECK_FALSE(trial.keeps_not_finite(Hiding(right(), p.out().size() * 2)));
    CHECK(trial.error(*right()) <= trial.tolerance());  // the data are as they were
}

TEST_CASE("problems that end in another way share no choice") {
    std::set<std::string> keys;
    ConvProblem p = small_problem();
    for (const bool bias : {false, true})
        for (const bool residual : {false, true})
            for (const auto activation : {Activation::none, Activation::relu, Activation::relu6}) {
                p.op.bias = bias;
                p.op.residual = residual;
                p.op.activation = activation;
                keys.insert(key_of(p, Direction::forward));
            }
    CHECK(keys.size() == 12);
}

TEST_CASE("a tuner chooses once, remembers, and knows its own file again") {
    const divs::test::Scratch folder;
    const Device device(0);
    ConvOptions options;
    options.choice = ConvChoice::divs;
    options.cache = (folder.path() / "deep" / "conv.jsonl").string();
    const ConvProblem p = small_problem();
    std::string name;
    {
        Tuner tuner(device, options);
        const auto chosen = tuner.choose(p, Direction::forward);
        name = chosen->name();
        CHECK(tuner.choose(p, Direction::forward) == chosen);
        tuner.choose(p, Direction::backward_weights);
    }
    const auto launches = kernels::host::device().counts.launches;
    Tuner again(device, options);
    CHECK(again.choose(p, Direction::forward)->name() == name);
    CHECK(kernels::host::device().counts.launches == launches);  // nothing was measured
    CHECK(divs::test::read_text(options.cache).find(key_of(p, Direction::backward_weights)) !=
          std::string::npos);
}

TEST_CASE("a choice repeats where it must not depend on the clock") {
    const Device device(0);
    ConvOptions options;
    options.choice = ConvChoice::divs;
    options.deterministic = true;
    Tuner one(device, options), two(device, options);
    for (const auto direction : {Direction::forward, Direction::backward_data, Direction::backward_weights})
        CHECK(one.choose(small_problem(), direction)->name() ==
              two.choose(small_problem(), direction)->name());
}

TEST_CASE("a file of choices that is torn or foreign counts as empty, and one of another machine is kept") {
    const divs::test::Scratch folder;
    const auto file = folder.path() / "conv.jsonl";
    ConvCache(file, "this").add("problem", "algorithm");
    CHECK(ConvCache(file, "this").find("problem") == "algorithm");
    CHECK_FALSE(ConvCache(file, "that").find("problem"));
    ConvCache(file, "that").add("problem", "another");
    CHECK(ConvCache(file, "that").find("problem") == "another");
    CHECK(ConvCache(file, "this").find("problem") == "algorithm");
    const std::string whole = divs::test::read_text(file);
    for (std::size_t size = 0; size < whole.size(); ++size) {
        std::ofstream(file) << whole.substr(0, size);
        const auto found = ConvCache(file, "this").find("problem");
        CHECK((!found || *found == "algorithm"));
    }
    for (const std::string foreign :
         {"\x7F\x45LF\x01", "[1, 2]\n{}\n", "{\"kind\": 3}\n", "{\"kind\"", "null\n"}) {
        std::ofstream(file) << foreign;
        CHECK_FALSE(ConvCache(file, "this").find("problem"));
        std::ofstream(file) << whole.substr(0, whole.find('\n') + 1) << foreign << "\n{\"problem\": 1}\n";
        CHECK_FALSE(ConvCache(file, "this").find("problem"));
    }
    ConvCache(file, "this").add("new", "fast");
    CHECK(ConvCache(file, "this").find("new") == "fast");
    // What another process added meanwhile is kept.
    ConvCache first(file, "this"), second(file, "this");
    first.add("a", "1");
    second.add("b", "2");
    CHECK(ConvCache(file, "this").find("a") == "1");
    CHECK(ConvCache(file, "this").find("b") == "2");
    ConvCache nowhere("/proc/no/such/place", "this");
    nowhere.add("a", "1");
    CHECK(nowhere.find("a") == "1");
}
