//! Rate-limits repeated waits and progress for logs.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::event::{Event, Renderer};

/// How often an unchanged wait is repeated: keeps the log of a long wait short but alive.
const WAIT_EVERY: Duration = Duration::from_secs(30);

/// How often an advancing progress is said.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// Passes on every event to `R`, but the same wait or progress of a stage only now and then.
pub(super) struct Throttled<R> {
    inner: R,
    said: Mutex<HashMap<&'static str, (String, Instant)>>,
}

impl<R> Throttled<R> {
    pub(super) fn new(inner: R) -> Self {
        Throttled { inner, said: Mutex::default() }
    }

    fn is_due(&self, stage: &'static str, subject: String, every: Duration) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let due = said.get(stage).is_none_or(|(last, at)| *last != subject || at.elapsed() >= every);
        if due {
            said.insert(stage, (subject, Instant::now()));
        }
        due
    }
}

impl<R: Renderer> Renderer for Throttled<R> {
    fn show(&self, event: &Event) {
        let due = match event {
            Event::Waiting { stage, cause, .. } => {
                self.is_due(stage, format!("{} {}", cause.kind, cause.sentence), WAIT_EVERY)
            }
            Event::Progress { stage, .. } => self.is_due(stage, String::new(), PROGRESS_EVERY),
            _ => true,
        };
        if due {
            self.inner.show(event);
        }
    }
}
