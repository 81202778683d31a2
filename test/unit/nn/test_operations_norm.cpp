// Batch norm: torch's running statistics, statistics far from zero, and statistics over ranks.
#include <algorithm>
#include <barrier>
#include <thread>

#include "cpu/layout.hpp"
#include "operation_cases.hpp"
#include "support/catch.hpp"

using namespace divs;
using namespace divs::nn;
using namespace divs::nn::test;

namespace {

// Two threads that stand for two ranks: each sees the sum of both.
class PairSum {
  public:
    void sum(std::size_t rank, std::span<double> values) {
        given_[rank] = values;
        barrier_.arrive_and_wait();
        std::vector<double> total(values.size());
        lengths_agree_[rank] = given_[0].size() == given_[1].size();
        for (std::size_t i = 0; i < values.size() && lengths_agree_[rank]; ++i)
            total[i] = given_[0][i] + given_[1][i];
        barrier_.arrive_and_wait();
        std::copy(total.begin(), total.end(), values.begin());
    }
    bool lengths_agree() const { return lengths_agree_[0] && lengths_agree_[1]; }

  private:
    std::barrier<> barrier_{2};
    std::array<std::span<double>, 2> given_;
    std::array<bool, 2> lengths_agree_{true, true};
};

struct RankReducer final : Reducer {
    RankReducer(PairSum& pair, std::size_t rank) : pair_(pair), rank_(rank) {}
    void sum(std::span<double> values) override { pair_.sum(rank_, values); }
    PairSum& pair_;
    std::size_t rank_;
};

// Rows [begin, end) of a batch.
OperationData rows(const OperationData& data, const OperationCase& c, int begin, int end) {
    OperationData part = data;
    const std::size_t row = Shape{1, c.inputs[0].h, c.inputs[0].w, c.inputs[0].c}.size();
    auto cut = [&](std::vector<float>& v) {
        v = {v.begin() + static_cast<std::ptrdiff_t>(row) * begin,
             v.begin() + static_cast<std::ptrdiff_t>(row) * end};
    };
    for (auto& input : part.inputs) cut(input);
    cut(part.output_gradient);
    return part;
}

OperationCase with_batch(OperationCase c, int n) {
    for (Shape& s : c.inputs) s.n = n;
    return c;
}

// What a rank without samples does; its running statistics follow the others'.
OperationResult run_empty(Backend& backend, const OperationCase& c, const OperationData& data,
                          Reducer* reducer) {
    PlanOptions options;
    options.reducer = reducer;
    std::vector<TensorDesc> inputs;
    for (const Shape& s : c.inputs) inputs.push_back({s, nullptr});
    const auto operation = backend.plan(c.op, inputs, options);
    OperationResult result;
    auto values = data.values;
    result.buffers = data.buffers;
    for (const auto& v : values) result.gradients.emplace_back(v.size(), 0.0F);
    Parameters parameters;
    for (auto& v : values) parameters.values.emplace_back(v);
    for (auto& v : result.gradients) parameters.gradients.emplace_back(v);
    for (auto& v : result.buffers) parameters.buffers.emplace_back(v);
    operation->forward_empty(parameters);
    operation->backward_empty(parameters);
    return result;
}

std::vector<float> joined(std::vector<float> a, const std::vector<float>& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

std::vector<float> added(std::vector<float> a, const std::vector<float>& b) {
    for (std::size_t i = 0; i < b.size(); ++i) a[i] += b[i];
    return a;
}

// A batch on one rank, and the same rows on two, the first of which takes `first`: they must be equal.
void check_two_ranks(const std::string& backend_name, const OperationCase& c, int first) {
    const OperationData data = fresh_data(c, 4);
    const int n = c.inputs[0].n;
    auto single = make_backend(backend_name, {});
    const auto whole = run_operation(*single, c, data);
    PairSum pair;
    std::array<OperationResult, 2> parts;
    auto rank = [&](std::size_t r) {
        RankReducer reducer(pair, r);
        const int begin = r == 0 ? 0 : first, end = r == 0 ? first : n;
        auto backend = make_backend(backend_name, {});
        RunOptions options;
        options.plan.reducer = &reducer;
        parts[r] = begin == end ? run_empty(*backend, c, data, &reducer)
                                : run_operation(*backend, with_batch(c, end - begin),
                                                rows(data, c, begin, end), options);
    };
    std::thread other(rank, 1);
    rank(0);
    other.join();
    REQUIRE(pair.lengths_agree());
    CHECK(relative_error(joined(parts[0].output, parts[1].output), whole.output) < 1e-6);
    for (std::size_t i = 0; i < whole.input_gradients.size(); ++i) {
        std::vector<float> gradient;
        for (const auto& part : parts)
            if (!part.input_gradients.empty()) gradient = joined(gradient, part.input_gradients[i]);
        CHECK(relative_error(gradient, whole.input_gradients[i]) < 2e-6);
    }
    for (std::size_t i = 0; i < whole.gradients.size(); ++i)
        CHECK(relative_error(added(parts[0].gradients[i], parts[1].gradients[i]), whole.gradients[i]) < 2e-6);
    for (std::size_t i = 0; i < whole.buffers.size(); ++i)
        for (const auto& part : parts) CHECK(relative_error(part.buffers[i], whole.buffers[i]) < 1e-6);
}

const std::string backends[] = {"reference", "cpu"};

}  // namespace

TEST_CASE("A synchronised norm over uneven ranks is one norm over the whole batch", "[norm]") {
    const OperationCase c{"", norm(true, Activation::relu), {{5, 4, 3, 21}, {5, 4, 3, 21}}};
    for (const auto& name : backends)
        for (int first : {1, 3, 5, 0}) {
            INFO(name << ", rows " << first << " and " << 5 - first);
            check_two_ranks(name, c, first);
        }
}

TEST_CASE("Norm and its running statistics are torch's", "[norm]") {
    // torch.nn.BatchNorm2d(2, momentum=0.3) of torch 2.15, two training steps and one evaluation.
    const OperationCase c{"", BatchNorm{1e-5F, 0.3F, false, Activation::none}, {{4, 1, 1, 2}}};
    OperationData data;
    data.inputs = {{1.0F, -2.0F, 3.0F, 0.5F, -1.0F, 4.0F, 0.5F, 0.25F}};
    data.values = {{1.5F, 0.5F}, {0.25F, -1.0F}};
    data.buffers = {{0.0F, 0.0F}, {1.0F, 1.0F}};
    const std::vector<float> trained{0.381055295F, -1.62615395F,  2.47794008F,   -1.0436852F,
                                     -1.71582937F, -0.228228927F, -0.143165886F, -1.10193205F};
    const std::vector<float> evaluated{0.855491996F, -1.61758304F,   3.0423708F,   -0.960754454F,
                                       -1.33138669F, -0.0411944389F, 0.308772326F, -1.02643728F};
    for (const auto& name : backends) {
        auto backend = make_backend(name, {});
        RunOptions options;
        options.backward = false;
        auto result = run_operation(*backend, c, data, options);
        CHECK(relative_error(result.output, trained) < 1e-6);
        CHECK(relative_error(result.buffers[0], {0.262500018F, 0.206250012F}) < 1e-6);
        CHECK(relative_error(result.buffers[1], {1.51875007F, 2.54218745F}) < 1e-6);
        options.repeats = 2;
        result = run_operation(*backend, c, data, options);
        CHECK(relative_error(result.buffers[0], {0.446250021F, 0.350625038F}) < 1e-6);
        CHECK(relative_error(result.buffers[1], {1.88187504F, 3.62171888F}) < 1e-6);
        OperationData later = data;
        later.buffers = result.buffers;
        options.repeats = 1;
        options.plan.training = false;
        CHECK(relative_error(run_operation(*backend, c, later, options).output, evaluated) < 1e-6);
    }
}

TEST_CASE("Statistics hold where the mean is a thousand deviations from zero", "[norm]") {
    const OperationCase c{"", norm(false, Activation::none), {{4, 16, 16, 24}}};
    OperationData data = fresh_data(c, 6);
    for (float& v : data.inputs[0]) v = v * 0.5F + 1000.0F;
    auto oracle = make_backend("reference", {});
    auto cpu = make_backend("cpu", {});
    const auto expected = run_operation(*oracle, c, data);
    for (int block : {24, 16, 8}) {
        RunOptions options;
        options.inputs = {cpu::make_desc(c.inputs[0], block)};
        const auto actual = run_operation(*cpu, c, data, options);
        // The line y = x scale + offset rounds at the size of the mean: 1000 deviations x 2^-24.
        CHECK(relative_error(actual.output, expected.output) < 2e-4);
        CHECK(relative_error(actual.buffers[1], expected.buffers[1]) < 1e-6);
        CHECK(relative_error(actual.gradients[0], expected.gradients[0]) < 1e-4);
        CHECK(relative_error(actual.input_gradients[0], expected.input_gradients[0]) < 1e-5);
    }
}
