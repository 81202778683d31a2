#include "divs/train/stop_signal.hpp"

#include <csignal>

namespace divs::train {
namespace {

volatile std::sig_atomic_t asked = 0;  // a signal handler can reach nothing else
void ask(int) {
    asked = 1;
}

}  // namespace

void listen_for_stop() {
    struct sigaction action {};
    action.sa_handler = ask;
    action.sa_flags = SA_RESTART;
    sigaction(SIGUSR1, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
}

bool stop_asked() noexcept {
    return asked != 0;
}

}  // namespace divs::train
