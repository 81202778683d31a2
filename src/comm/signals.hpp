// Signals reach the program's own thread, never one of this room's.
#pragma once

#include <csignal>

namespace divs::comm {

// While it lives, threads that are made inherit that every signal is blocked.
class SignalsBlocked {
  public:
    SignalsBlocked() {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
    SignalsBlocked(const SignalsBlocked&) = delete;

  private:
    sigset_t before_;
};

}  // namespace divs::comm
