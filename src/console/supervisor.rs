//! systemd as the supervisor: READY, STATUS and WATCHDOG by `sd_notify(3)`.

use std::time::Duration;

use sd_notify::NotifyState;

use super::{Event, Renderer, human};

pub(super) struct Supervisor {}

impl Supervisor {
    /// Tells systemd, if it asked for it (`$NOTIFY_SOCKET`); starts the watchdog's beat if it wants one.
    pub(super) fn if_asked_for() -> Option<Self> {
        std::env::var_os("NOTIFY_SOCKET")?;
        if let Some(limit) = sd_notify::watchdog_enabled() {
            beat(limit / 2);
        }
        Some(Supervisor {})
    }
}

/// Beats from a task of the runtime that does the work, not from a thread of its own: a runtime that is stuck must
/// miss the beat.
fn beat(every: Duration) {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(async move {
            let mut interval = tokio::time::interval(every);
            loop {
                interval.tick().await;
                tell(&[NotifyState::Watchdog]);
            }
        });
    }
}

fn tell(state: &[NotifyState<'_>]) {
    // systemd not listening any more is no reason to end what it asked for.
    let _ = sd_notify::notify(state);
}

impl Renderer for Supervisor {
    fn show(&self, event: &Event) {
        let status = match event {
            Event::Started { stage } => format!("{stage}: started"),
            Event::Waiting { stage, cause, waited } => {
                format!("{stage}: waiting ({}): {}", human(*waited), cause.sentence)
            }
            Event::Progress { stage, text, .. } => format!("{stage}: {text}"),
            Event::Ended { stage, cause: Some(cause), .. } => format!("{stage}: failed: {}", cause.sentence),
            Event::Ready { status } => {
                return tell(&[NotifyState::Ready, NotifyState::Status(status)]);
            }
            Event::Over => return tell(&[NotifyState::Stopping]),
            _ => return,
        };
        tell(&[NotifyState::Status(&status)]);
    }
}
