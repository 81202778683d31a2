#include <cmath>

#include "divs/core/error.hpp"
#include "divs/nn/schedule.hpp"
#include "support/catch.hpp"

using namespace divs::nn;
using Catch::Matchers::ContainsSubstring;

TEST_CASE("cosine follows its closed form behind a linear warm-up") {
    Schedule s;
    s.base = 0.4;
    s.floor = 0.004;
    s.total_steps = 110;
    s.warmup_steps = 10;
    CHECK(learning_rate(s, 0) == Approx(0.04));
    CHECK(learning_rate(s, 4) == Approx(0.2));
    CHECK(learning_rate(s, 9) == Approx(0.4));
    CHECK(learning_rate(s, 10) == Approx(0.4));
    CHECK(learning_rate(s, 60) == Approx((0.4 + 0.004) / 2));
    CHECK(learning_rate(s, 35) == Approx(0.004 + 0.396 * 0.5 * (1 + std::sqrt(0.5))));
    CHECK(learning_rate(s, 110) == Approx(0.004));
    CHECK(learning_rate(s, 100000) == Approx(0.004));
    for (int step = 10; step < 110; ++step) CHECK(learning_rate(s, step + 1) <= learning_rate(s, step));
}

TEST_CASE("step falls at its milestones and nowhere else") {
    Schedule s;
    s.decay = Decay::step;
    s.base = 1;
    s.total_steps = 90;
    s.milestones = {1.0 / 3, 2.0 / 3};
    s.factor = 0.1;
    for (int step = 0; step < 30; ++step) CHECK(learning_rate(s, step) == 1);
    for (int step = 30; step < 60; ++step) CHECK(learning_rate(s, step) == Approx(0.1));
    for (int step = 60; step < 95; ++step) CHECK(learning_rate(s, step) == Approx(0.01));
}

TEST_CASE("constant stays, and a warm-up longer than the run never overshoots") {
    Schedule s;
    s.decay = Decay::constant;
    s.base = 0.3;
    s.total_steps = 5;
    CHECK(learning_rate(s, 0) == 0.3);
    CHECK(learning_rate(s, 50) == 0.3);
    s.decay = Decay::cosine;
    s.warmup_steps = 20;
    for (int step = 0; step < 30; ++step) CHECK(learning_rate(s, step) <= 0.3);
}

TEST_CASE("names of schedules are read, a typo is met with the nearest") {
    CHECK(parse_decay("step") == Decay::step);
    CHECK_THROWS_WITH(parse_decay("cosin"),
                      ContainsSubstring("'cosin'") && ContainsSubstring("did you mean 'cosine'"));
    CHECK_THROWS_AS(parse_decay("zzzzzzzz"), divs::ConfigError);
}

TEST_CASE("the gradient scale makes a mean, and clips its norm") {
    CHECK(gradient_scale(400, 8, 0).norm == Approx(2.5));
    CHECK(gradient_scale(400, 8, 0).factor == Approx(1.0 / 8));
    CHECK(gradient_scale(400, 8, 3).factor == Approx(1.0 / 8));  // norm of the mean 2.5
    const double scale = static_cast<double>(gradient_scale(400, 8, 1).factor);
    CHECK(scale * std::sqrt(400.0) == Approx(1));  // clipped to 1
    CHECK(gradient_scale(0, 8, 1).factor == Approx(1.0 / 8));
    CHECK(gradient_scale(0, 0, 1).factor == 0);  // no sample on any rank
    CHECK(gradient_scale(0, 0, 1).norm == 0);
    for (const double squares : {static_cast<double>(INFINITY), static_cast<double>(NAN)}) {
        CHECK(gradient_scale(squares, 8, 1).factor == 0);
        CHECK_FALSE(std::isfinite(gradient_scale(squares, 8, 1).norm));
    }
}
