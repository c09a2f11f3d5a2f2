//! SIGTERM and SIGINT: stop cleanly without completing the lifecycle action.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cause::Cause;
use crate::kind::Kind;

/// Whoever holds it is not ended by these signals, and must ask.
pub(super) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// # Errors
    /// `host.signals`.
    pub(super) fn new() -> Result<Self, Cause> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                Cause::host(
                    Kind::HostSignals,
                    "Signal handlers cannot be installed.",
                    "Check the journal: journalctl -u boot-agent.",
                )
                .with_error(&error)
            })
        };
        let (terminate, interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
        Ok(StopSignals { terminate, interrupt })
    }

    /// Ends when one has come.
    pub(super) async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
