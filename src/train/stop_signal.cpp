#include "stop_signal.hpp"

namespace divs::train {
namespace {

volatile std::sig_atomic_t stop_asked = 0;  // a signal handler can reach nothing else
void ask(int) {
    stop_asked = 1;
}

}  // namespace

StopSignal::StopSignal() {
    stop_asked = 0;
    struct sigaction action {};
    action.sa_handler = ask;
    action.sa_flags = SA_RESTART;
    sigaction(SIGUSR1, &action, &old_usr1_);
    sigaction(SIGTERM, &action, &old_term_);
}

StopSignal::~StopSignal() {
    sigaction(SIGUSR1, &old_usr1_, nullptr);
    sigaction(SIGTERM, &old_term_, nullptr);
}

bool StopSignal::asked() const noexcept {
    return stop_asked != 0;
}

}  // namespace divs::train
