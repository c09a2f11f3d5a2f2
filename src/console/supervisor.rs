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
            beat(limit);
        }
        Some(Supervisor {})
    }
}

/// Beats from a task of the runtime that does the work, not from a thread of its own: a runtime that is stuck must
/// miss the beat.
///
/// systemd counts the watchdog's time from READY=1 on, which is the end of a boot (systemd.service(5)). Until then, each
/// beat extends the time to start by the watchdog's, which comes to the same.
fn beat(limit: Duration) {
    let extension = u32::try_from(limit.as_micros()).unwrap_or(u32::MAX);
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(async move {
            let mut interval = tokio::time::interval(limit / 2);
            loop {
                interval.tick().await;
                tell(&[NotifyState::Watchdog, NotifyState::ExtendTimeoutUsec(extension)]);
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
