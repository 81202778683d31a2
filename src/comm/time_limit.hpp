// For the way out: a call that may hang because its library is in trouble.
#pragma once

#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <thread>

namespace divs::comm {

// Runs `call` on a thread of its own; false where it has not returned after so many seconds. It then goes on
// until the process ends, so it must own what it uses.
inline bool ends_within(double seconds, std::function<void()> call) noexcept {
    try {
        auto ended = std::make_shared<std::promise<void>>();
        std::future<void> waiting = ended->get_future();
        std::thread([call = std::move(call), ended] {
            call();
            ended->set_value();
        }).detach();
        return waiting.wait_for(std::chrono::duration<double>(seconds)) == std::future_status::ready;
    } catch (const std::exception&) {  // no thread can be had: then nothing is run
        return false;
    }
}

}  // namespace divs::comm
