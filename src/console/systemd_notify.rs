//! systemd notification: READY, STATUS and WATCHDOG by `sd_notify(3)`.

use std::convert::Infallible;
use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use sd_notify::NotifyState;

use super::event::{Event, LAST_WORDS, Renderer, human};
use super::outlet::write_within;

/// How often READY=1 is sent to a systemd that is busy, and the pause between; everything else is said again anyway.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(50);

/// How often it is looked for a beat, in the time within which one must come.
const LOOKS: u32 = 4;

/// The watchdog's time, and what was missed of it.
#[derive(Clone)]
pub(super) struct Supervisor {
    watchdog: Option<(Duration, Arc<AtomicU32>)>,
}

impl Supervisor {
    /// Tells systemd, if it asked for it (`$NOTIFY_SOCKET`), and listens for the beat if it wants a watchdog's.
    ///
    /// systemd counts the watchdog's time from READY=1 on (systemd.service(5)), and for a boot that is the end. Until
    /// then a thread of this process listens, and ends it when it hears nothing for as long. (Extending the start's
    /// timeout with each beat would not do: a daemon-reload, which the installer asks for, forgets the extension.)
    pub(super) fn if_asked_for() -> Option<Self> {
        std::env::var_os("NOTIFY_SOCKET")?;
        let watchdog = sd_notify::watchdog_enabled().map(|limit| {
            let missed = Arc::new(AtomicU32::new(0));
            let heard = Arc::downgrade(&missed);
            std::thread::spawn(move || {
                if listen(&heard, || std::thread::sleep(limit / LOOKS)) {
                    let text = format!(
                        "agent: no progress for {}: aborting, so that systemd restarts the boot\n",
                        human(limit)
                    );
                    // Whoever does not read it must not keep this from ending.
                    let _ = write_within(std::io::stderr(), text, LAST_WORDS);
                    std::process::abort();
                }
            });
            (limit, missed)
        });
        Some(Supervisor { watchdog })
    }

    /// Beats for as long as it is polled.
    pub(super) async fn beat(&self) -> Infallible {
        let Some((limit, missed)) = &self.watchdog else { return std::future::pending().await };
        let mut interval = tokio::time::interval(*limit / 2);
        loop {
            interval.tick().await;
            missed.store(0, Ordering::Relaxed);
            tell(&[NotifyState::Watchdog]);
        }
    }
}

/// Returns true when no beat has come for [`LOOKS`] pauses, and false when the beat's runtime is gone, in good order. Looks
/// are counted and not the clock, which goes on while a whole machine stands still.
fn listen(heard: &Weak<AtomicU32>, mut pause: impl FnMut()) -> bool {
    loop {
        pause();
        let Some(missed) = heard.upgrade() else { return false };
        if missed.fetch_add(1, Ordering::Relaxed) >= LOOKS {
            return true;
        }
    }
}

/// Tells systemd, without waiting for it: one that does not listen is no reason to stop what it asked for.
fn tell(state: &[NotifyState<'_>]) {
    // A line each: a sentence that quotes another line must not become an assignment of its own.
    let text: String = state.iter().map(|state| state.to_string().replace('\n', " ") + "\n").collect();
    let is_vital = state.iter().any(|state| matches!(state, NotifyState::Ready));
    for _ in 0..TRIES {
        match send(text.as_bytes()) {
            Err(error) if error.kind() == ErrorKind::WouldBlock && is_vital => {
                std::thread::sleep(PAUSE);
            }
            _ => return,
        }
    }
}

fn send(datagram: &[u8]) -> std::io::Result<()> {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return Ok(()) };
    let address = match path.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(&path)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to_addr(datagram, &address).map(drop)
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
            Event::Failed { text, cause: Some(cause) } => format!("{text}: {}", cause.sentence),
            Event::Over => return tell(&[NotifyState::Stopping]),
            _ => return,
        };
        tell(&[NotifyState::Status(&status)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beat_that_stays_away_is_noticed() {
        let missed = Arc::new(AtomicU32::new(0));
        let mut looks = 0;
        assert!(listen(&Arc::downgrade(&missed), || looks += 1));
        assert_eq!(looks, LOOKS + 1);
    }

    #[test]
    fn a_beat_that_comes_keeps_the_listener_quiet_and_its_end_ends_it() {
        let missed = Arc::new(AtomicU32::new(0));
        let heard = Arc::downgrade(&missed);
        let (mut beating, mut looks) = (Some(missed), 0);
        let aborts = listen(&heard, || {
            looks += 1;
            match &beating {
                Some(missed) if looks < 30 * LOOKS => {
                    // One beat for all looks but one.
                    if looks % LOOKS == 0 {
                        missed.store(0, Ordering::Relaxed);
                    }
                }
                _ => beating = None,
            }
        });
        assert!(!aborts);
        assert_eq!(looks, 30 * LOOKS);
    }
}
