//! systemd as the supervisor: READY, STATUS and WATCHDOG by `sd_notify(3)`.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use sd_notify::NotifyState;

use super::{Event, Renderer, human};

/// How often it is looked for a beat, in the time within which one must come.
const LOOKS: u32 = 4;

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
/// systemd counts the watchdog's time from READY=1 on (systemd.service(5)), and for a boot that is the end. Until then
/// a thread of this process listens, and ends it when it hears nothing for as long. (Extending the start's timeout with
/// each beat would not do: a daemon-reload, which the installer asks for, forgets the extension.)
fn beat(limit: Duration) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    let missed = Arc::new(AtomicU32::new(0));
    let heard = Arc::downgrade(&missed);
    std::thread::spawn(move || {
        if listen(&heard, limit) {
            eprintln!("agent: nothing has moved for {}: ending, to be started again", human(limit));
            std::process::abort();
        }
    });
    runtime.spawn(async move {
        let mut interval = tokio::time::interval(limit / 2);
        loop {
            interval.tick().await;
            missed.store(0, Ordering::Relaxed);
            tell(&[NotifyState::Watchdog]);
        }
    });
}

/// Returns true when no beat has come for `limit`, and false when the beat's runtime is gone, in good order. Looks are
/// counted and not the clock, which goes on while a whole machine stands still.
fn listen(heard: &Weak<AtomicU32>, limit: Duration) -> bool {
    loop {
        std::thread::sleep(limit / LOOKS);
        let Some(missed) = heard.upgrade() else { return false };
        if missed.fetch_add(1, Ordering::Relaxed) >= LOOKS {
            return true;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(80);

    #[test]
    fn a_beat_that_stays_away_is_noticed() {
        let missed = Arc::new(AtomicU32::new(0));
        assert!(listen(&Arc::downgrade(&missed), LIMIT));
    }

    #[test]
    fn a_beat_that_comes_keeps_the_listener_quiet_and_its_end_ends_it() {
        let missed = Arc::new(AtomicU32::new(0));
        let heard = Arc::downgrade(&missed);
        let listener = std::thread::spawn(move || listen(&heard, LIMIT));
        for _ in 0..30 {
            missed.store(0, Ordering::Relaxed);
            std::thread::sleep(LIMIT / 16);
        }
        assert!(!listener.is_finished());
        drop(missed);
        assert!(matches!(listener.join(), Ok(false)));
    }
}
