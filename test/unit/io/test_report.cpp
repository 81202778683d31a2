#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "divs/core/error.hpp"
#include "divs/io/report.hpp"
#include "divs/io/trace.hpp"
#include "support/catch.hpp"
#include "support/scratch.hpp"

using namespace divs;
using namespace divs::io;
using Catch::Matchers::ContainsSubstring;
using nlohmann::json;
using test::Scratch;
using divs::test::read_text;

namespace {

using Packed = std::vector<std::vector<std::byte>>;

// Every opened element is closed in order: enough of a parser for what we write.
bool is_balanced(const std::string& html) {
    std::vector<std::string> open;
    for (std::size_t at = html.find('<'); at != std::string::npos; at = html.find('<', at + 1)) {
        if (html.compare(at, 2, "<!") == 0) continue;
        const std::size_t end = html.find('>', at);
        if (end == std::string::npos) return false;
        const bool closes = html[at + 1] == '/';
        const std::size_t start = at + 1 + closes;
        const std::string name = html.substr(start, html.find_first_of(" />", start) - start);
        if (html[end - 1] == '/' || name == "meta" || name == "img") continue;
        if (!closes) {
            open.push_back(name);
        } else {
            if (open.empty() || open.back() != name) return false;
            open.pop_back();
        }
    }
    return open.empty();
}

ReportContent example() {
    ReportContent content;
    content.title = "tiny on <fight> & \"more\"";
    content.subtitle = "training finished";
    content.summary = {{"accuracy", "0.953"},
                       {"time of the ranks", "compute 80 %, waiting 5 %, and a long sentence"}};
    content.charts = {{"Loss",
                       "epoch",
                       "loss",
                       {{"train", {{0, 2}, {1, 1}, {2, std::nan("")}, {3, 0.5}}}, {"val", {{1, 1.5}}}}},
                      {"Nothing", "x", "y", {}},
                      {"Flat", "x", "y", {{"a", {{1, 3}, {2, 3}}}}}};
    content.classes = {"fight", "<script>alert(1)</script>"};
    content.confusion = {{9, 1}, {0, 0}};
    content.tables = {class_table(content.classes, content.confusion)};
    content.versions = {{"divs", "0.1.0"}};
    content.configuration = "[train]\nname = \"<b>\"\n";
    return content;
}

}  // namespace

TEST_CASE("report: one balanced page that loads and runs nothing, whatever the names hold") {
    const std::string html = report_html(example());
    CHECK(is_balanced(html));
    CHECK_THAT(html, ContainsSubstring("tiny on &lt;fight&gt; &amp; &quot;more&quot;") && ContainsSubstring("0.953") &&
                         ContainsSubstring("&lt;b&gt;") && ContainsSubstring("<!-- plots -->"));
    CHECK_THAT(html,
               !ContainsSubstring("<script") && !ContainsSubstring("http://") && !ContainsSubstring("https://") && !ContainsSubstring("nan"));
    CHECK_THAT(html, ContainsSubstring("<polyline") && ContainsSubstring("<circle"));
}

TEST_CASE("report: images are embedded, what is none is refused") {
    const Scratch scratch;
    test::write_text(scratch / "a.png", std::string("\x89PNG\r\n\x1a\n", 8) + "Man");
    test::write_text(scratch / "b.txt", "no image");
    ReportContent content;
    content.images = {{"Curves", scratch / "a.png"}};
    CHECK_THAT(report_html(content), ContainsSubstring("data:image/png;base64,iVBORw0KGgpNYW4=\""));
    content.images = {{"Curves", scratch / "b.txt"}};
    CHECK_THROWS_WITH(report_html(content), ContainsSubstring("b.txt"));
    content.images = {{"Curves", scratch / "c.png"}};
    CHECK_THROWS_AS(report_html(content), InputError);
    CHECK_THROWS_AS(write_report(scratch / "no/report.html", ReportContent{}), StorageError);
    write_report(scratch / "report.html", example());
    CHECK(read_text(scratch / "report.html") == report_html(example()));
}

TEST_CASE("report: precision, recall and F1 of each class") {
    // By hand: class a has 3 of 4 right and 1 wrong guess; b 1 of 2; c never occurs and is never predicted.
    const auto table = class_table({"a", "b", "c"}, {{3, 1, 0}, {1, 1, 0}, {0, 0, 0}});
    REQUIRE(table.rows.size() == 4);
    CHECK(table.rows[0] == std::vector<std::string>{"a", "0.750", "0.750", "0.750", "4"});
    CHECK(table.rows[1] == std::vector<std::string>{"b", "0.500", "0.500", "0.500", "2"});
    CHECK(table.rows[2] == std::vector<std::string>{"c", "-", "-", "-", "0"});
    CHECK(table.rows[3] == std::vector<std::string>{"macro mean", "0.625", "0.625", "0.625", "6"});
}

TEST_CASE("trace: all ranks on one clock, as Chrome reads it") {
    const Scratch scratch;
    Trace a(0), b(1);
    a.record("forward", "compute", "main", 10.0, 10.5);
    a.record("reduce \"1\"", "comm", "comm", 10.4, 10.6);
    a.counter("queue bytes", 10.1, 1234);
    b.record("forward", "compute", "main", 110.25, 110.5);  // its clock is 100 s ahead
    write_trace(scratch / "t.json", Packed{a.pack(), b.pack()}, std::vector<ClockLine>{{}, clock_line(100, -100, 200, -100)});
    const json trace = json::parse(read_text(scratch / "t.json"));
    std::map<std::string, json> spans;
    int names = 0;
    for (const auto& event : trace["traceEvents"]) {
        if (event["ph"] == "X") spans[event["name"].get<std::string>() + event["pid"].dump()] = event;
        if (event["ph"] == "C") CHECK(event["args"]["value"] == 1234.0);
        names += event["ph"] == "M" && event["name"] == "thread_name";
    }
    REQUIRE(spans.size() == 3);
    CHECK(spans["forward0"]["ts"].get<double>() == Approx(0).margin(1e-3));
    CHECK(spans["forward0"]["dur"].get<double>() == Approx(5e5));
    CHECK(spans["reduce \"1\"0"]["ts"].get<double>() == Approx(4e5));
    CHECK(spans["reduce \"1\"0"]["tid"] != spans["forward0"]["tid"]);
    CHECK(spans["forward1"]["ts"].get<double>() == Approx(2.5e5));
    CHECK(names == 3);
    CHECK_THROWS_AS(write_trace(scratch / "t.json", Packed{a.pack()}, std::vector<ClockLine>(2)), Error);
    CHECK_THROWS_AS(write_trace(scratch / "no/t.json", Packed{a.pack()}), StorageError);
    auto cut = a.pack();
    cut.resize(cut.size() / 2);
    CHECK_THROWS_AS(write_trace(scratch / "t.json", Packed{cut}), InputError);
}

TEST_CASE("trace: a clock that drifts is brought back on rank 0's") {
    const ClockLine line = clock_line(1000, -1000, 2000, -1000.1);  // 100 us too fast a second
    CHECK(line.on_root(1000) == Approx(0).margin(1e-9));
    CHECK(line.on_root(1500) == Approx(499.95));
    CHECK(line.on_root(2000) == Approx(999.9));
    CHECK(clock_line(5, 7, 5, 8).on_root(6) == Approx(13));             // no time between the two
    CHECK(clock_line(0, 0, 1e-3, 1).on_root(2) == Approx(2).margin(3e-3));  // no clock is that bad
}

TEST_CASE("trace: memory is bounded, what is left out is counted, threads may record at once") {
    const Scratch scratch;
    Trace trace(2, 1000);
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t)
        threads.emplace_back([&, t] {
            for (int i = 0; i < 500; ++i) TraceSpan(&trace, "work", "test", t == 0 ? "a" : "b");
        });
    for (auto& thread : threads) thread.join();
    TraceSpan(nullptr, "nothing", "test", "main");
    CHECK(trace.size() == 1000);
    CHECK(trace.dropped() == 500);
    CHECK(trace.rank() == 2);
    write_trace(scratch / "t.json", Packed{trace.pack(), Trace(3).pack()});
    const json read = json::parse(read_text(scratch / "t.json"));
    CHECK(read["otherData"]["events left out"]["rank 2"] == 500);
}
