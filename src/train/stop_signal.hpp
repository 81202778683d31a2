// SIGUSR1 and SIGTERM ask a run to checkpoint and leave cleanly.
#pragma once

#include <csignal>

namespace divs::train {

class StopSignal {
  public:
    StopSignal();
    ~StopSignal();  // the old handlers are back
    StopSignal(const StopSignal&) = delete;
    bool asked() const noexcept;

  private:
    struct sigaction old_usr1_, old_term_;
};

}  // namespace divs::train
