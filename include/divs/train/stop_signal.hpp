// SIGUSR1 and SIGTERM ask a training to checkpoint and leave cleanly.
#pragma once

namespace divs::train {

// From here to the end of the process the two signals only ask; nothing else can end a job that starts, or one that
// is through, by them. Call it before anything else that takes time.
void listen_for_stop();
bool stop_asked() noexcept;

}  // namespace divs::train
