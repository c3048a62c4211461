//! SIGTERM and SIGINT: the first asks for a stop, the second for an end.

use tokio::signal::unix::{Signal, SignalKind, signal};

pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// The second signal: whoever sends it wants the end, not a clean one. Nothing acknowledged is lost.
pub(super) fn end_at_once() -> ! {
    tracing::warn!("ended at once by a second signal; the agents fold what is left at the next start");
    std::process::exit(130);
}
