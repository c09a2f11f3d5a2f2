//! One step of a bake, reported like a stage of a boot; nothing is recorded, since an image carries no history.

use std::time::Instant;

use crate::cause::Cause;
use crate::command::Achieved;
use crate::console::{Console, Event, Level, StageOutcome};

/// A step that is running.
pub(super) struct Step<'a> {
    console: &'a Console,
    name: &'static str,
    started: Instant,
}

impl<'a> Step<'a> {
    /// Runs one step, and reports its start and end.
    pub(super) async fn run<T>(
        console: &'a Console,
        name: &'static str,
        work: impl AsyncFnOnce(&Step<'a>) -> Result<Achieved<T>, Cause>,
    ) -> Result<T, Cause> {
        let step = Step { console, name, started: Instant::now() };
        console.emit(Event::Started { stage: name });
        let (value, outcome, detail, cause) = match work(&step).await {
            Ok(Achieved { value, outcome, detail }) => (Ok(value), outcome, detail, None),
            Err(cause) => (Err(cause.clone()), StageOutcome::Failed, String::new(), Some(cause)),
        };
        console.emit(Event::Ended { stage: name, outcome, elapsed: step.started.elapsed(), detail, cause });
        value
    }

    pub(super) fn waiting(&self, cause: &Cause) {
        let waited = self.started.elapsed();
        self.console.emit(Event::Waiting { stage: self.name, cause: cause.clone(), waited });
    }

    pub(super) fn progress(&self, text: impl Into<String>, bytes: Option<(u64, u64)>) {
        self.console.emit(Event::Progress { stage: self.name, text: text.into(), bytes });
    }

    /// The progress of one part of the step; `None` when it is finished.
    pub(super) fn part(&self, name: &str, state: Option<(String, (u64, u64))>) {
        self.console.emit(Event::Part { stage: self.name, name: name.to_owned(), state });
    }

    pub(super) fn note(&self, level: Level, text: impl Into<String>, cause: Option<Cause>) {
        self.console.emit(Event::Note { stage: Some(self.name), level, text: text.into(), cause });
    }
}
