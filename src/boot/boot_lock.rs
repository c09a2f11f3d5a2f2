//! One boot at a time: the first holds a lock; a second one follows it and exits with its result.

use std::fs::{self, File, TryLockError};
use std::io;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::cause::Cause;
use crate::console::{Console, Event, Level};
use crate::files::{self, Root};
use crate::kind::Kind;
use crate::record::{BootOutcome, LOCK_FILE, Record};

use super::follow::Shown;

/// How often a follower reads the record.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The boot lock; released on drop.
#[derive(Debug)]
pub(super) struct BootLock {
    _lock: Option<File>,
}

/// The outcome of acquiring it.
pub(super) enum LockOutcome {
    /// This process boots the box.
    Acquired(BootLock),
    /// Another process booted it; this is its record.
    Followed(Box<Record>),
}

/// Acquires the lock, or follows the boot that holds it to its end. If that process dies without a result, acquires the
/// lock after all.
///
/// A lock file that cannot be created is only a warning: a boot that stopped here would not notify the group.
///
/// # Errors
/// `boot.other_runs` if the other boot has not finished within `limit`.
pub(super) async fn take_or_follow(
    root: &Root,
    console: &Console,
    limit: Duration,
) -> Result<LockOutcome, Cause> {
    let path = root.path(LOCK_FILE);
    let without = |error: &io::Error| {
        let cause = Some(files::failed("lock", &path, error));
        let text = "booting without the lock that prevents a second boot:".to_owned();
        console.emit(Event::Note { stage: None, level: Level::Warning, text, cause });
        Ok(LockOutcome::Acquired(BootLock { _lock: None }))
    };
    let made = path.parent().map_or(Ok(()), fs::create_dir_all);
    let lock = match made.and_then(|()| File::options().create(true).append(true).open(&path)) {
        Ok(lock) => lock,
        Err(error) => return without(&error),
    };
    let asked_at = Timestamp::now();
    let asked = Instant::now();
    let (mut shown, mut followed) = (Shown::default(), false);
    loop {
        match lock.try_lock() {
            Ok(()) => break,
            Err(TryLockError::Error(error)) => return without(&error),
            Err(TryLockError::WouldBlock) => {}
        }
        if !followed {
            console.note(Level::Info, "another boot is already running: following it");
            followed = true;
        }
        // The running boot itself reports a record that cannot be read.
        if let Ok(Some(record)) = Record::read(root) {
            shown.show_news(console, &record);
        }
        if asked.elapsed() >= limit {
            return Err(Cause::host(
                Kind::BootOtherRuns,
                "Another boot is still running on this instance.",
                "See what it is waiting for: agent status",
            )
            .after_waiting(asked.elapsed()));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    match Record::read(root) {
        Ok(Some(record)) if followed && ended_after(&record, asked_at) => {
            shown.show_news(console, &record);
            return Ok(LockOutcome::Followed(Box::new(record)));
        }
        // Not a followed boot's; this boot reports what else is wrong with the record when it starts.
        _ => {}
    }
    if followed {
        console.note(Level::Warning, "the other boot ended without a result: taking over");
    }
    Ok(LockOutcome::Acquired(BootLock { _lock: Some(lock) }))
}

fn ended_after(record: &Record, asked_at: Timestamp) -> bool {
    record.outcome != BootOutcome::Running && record.ended_at.is_some_and(|ended| ended >= asked_at)
}
