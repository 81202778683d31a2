
#include <algorithm>
#include <numeric>
#include <thread>
#include <vector>

#include "divs/core/bounded_queue.hpp"
#include "support/catch.hpp"

using divs::BoundedQueue;

TEST_CASE("a queue never holds more than its capacity, and loses nothing") {
    BoundedQueue<int> queue(100);
    std::vector<std::thread> producers;
    for (int p = 0; p < 3; ++p)
        producers.emplace_back([&, p] {
            for (int i = 0; i < 500; ++i) queue.push(p * 500 + i, static_cast<std::size_t>(1 + i % 40));
        });
    std::vector<int> seen;
    while (seen.size() < 1500) seen.push_back(*queue.pop());
    for (auto& producer : producers) producer.join();
    std::sort(seen.begin(), seen.end());
    std::vector<int> expected(1500);
    std::iota(expected.begin(), expected.end(), 0);
    CHECK(seen == expected);
    CHECK(queue.peak_bytes() <= 100);
    CHECK(queue.held_bytes() == 0);
}

TEST_CASE("an item larger than the capacity passes an empty queue") {
    BoundedQueue<int> queue(10);
    CHECK(queue.push(1, 1000));
    CHECK(queue.pop() == 1);
}

TEST_CASE("closing turns producers away and lets consumers finish") {
    BoundedQueue<int> queue(10);
    queue.push(1, 10);
    std::thread blocked([&] { CHECK_FALSE(queue.push(2, 10)); });
    queue.close();
    blocked.join();
    CHECK(queue.pop() == 1);
    CHECK_FALSE(queue.pop());
}
