// SIGUSR1 and SIGTERM ask a training to checkpoint and leave cleanly.
#pragma once

namespace divs::train {

// From here to the end of the process the two signals only ask: they end neither a job that is still starting (it
// stops after its first step) nor one that is through. Call it before anything that takes time.
void listen_for_stop();
bool stop_asked() noexcept;

}  // namespace divs::train
