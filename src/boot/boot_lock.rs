//! One boot at a time: the first holds a lock, a second follows it and ends with its result.

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

/// How often a follower looks at the record.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The right to boot this box; given up when dropped.
#[derive(Debug)]
pub(super) struct BootLock {
    _lock: Option<File>,
}

/// What came of asking for it.
pub(super) enum LockOutcome {
    /// This process boots the box.
    Acquired(BootLock),
    /// Another one did, and this is its record.
    Followed(Box<Record>),
}

/// Takes the lock, or follows the boot that holds it until that ends. If its process dies without a result, the turn
/// is ours after all.
///
/// A lock that cannot be had for the disk's sake is a warning: a boot that ended here would tell nobody.
///
/// # Errors
/// `boot.other_runs` when the other boot has not ended within `limit`.
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
        // While it runs, a record that cannot be read is the running boot's to complain about.
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
        // Of no boot that was followed; what else is wrong with it is said when this boot begins.
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
