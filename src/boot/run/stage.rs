//! One stage of a run: what it reports and records, and what it waits for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::Run;
use crate::cause::Cause;
use crate::console::{Event, StageOutcome};
use crate::record::{StageRecord, Wait};
use crate::wait;

/// How long cloud-init's network stage is waited for without a word.
const WORTH_SAYING: Duration = Duration::from_secs(2);

/// A stage that is running.
pub(crate) struct Stage<'a> {
    pub(crate) run: &'a Run,
    name: &'static str,
    index: usize,
    started: Instant,
    ended: AtomicBool,
}

impl<'a> Stage<'a> {
    pub(super) fn start(run: &'a Run, name: &'static str) -> Self {
        let mut index = 0;
        run.note(|record| {
            index = record.stages.len();
            record.stages.push(StageRecord {
                name: name.to_owned(),
                outcome: StageOutcome::Running,
                started_at: Timestamp::now(),
                ended_at: None,
                detail: String::new(),
                cause: None,
                waits: Vec::new(),
            });
        });
        run.console.emit(Event::Started { stage: name });
        Stage { run, name, index, started: Instant::now(), ended: false.into() }
    }

    /// Whether the stage must return before acting; see [`Run::is_dry`].
    pub(crate) fn is_dry_run(&self) -> bool {
        self.run.is_dry
    }

    /// Retries until success, a failure that waiting does not fix, or `limit` ([`wait::until`]). A dry run makes one
    /// attempt, and records what a boot would wait for.
    ///
    /// # Errors
    /// Those of `attempt`.
    pub(crate) async fn until<T>(
        &self,
        limit: Duration,
        worth_waiting: impl Fn(&Cause) -> bool,
        mut attempt: impl AsyncFnMut() -> Result<T, Cause>,
    ) -> Result<T, Cause> {
        if !self.is_dry_run() {
            return wait::until(limit, worth_waiting, |cause| self.waiting(cause), attempt).await;
        }
        attempt().await.inspect_err(|cause| {
            if worth_waiting(cause) && !limit.is_zero() {
                self.waiting(cause);
            }
        })
    }

    /// Waits for the end of cloud-init's network stage; says whether it had to. If the end does not come, the boot goes
    /// on with a warning.
    pub(crate) async fn after_network_stage(&self) -> bool {
        let (mut since, began) = (None, Instant::now());
        let waiting = |cause: &Cause| {
            since.get_or_insert(began);
            // At every first boot for a moment: nothing to read about.
            if began.elapsed() >= WORTH_SAYING { self.waiting(cause) } else { self.note_wait(cause) }
        };
        let ended = self.run.network_stage.wait(waiting).await;
        if let Err(cause) = ended {
            self.warn(cause);
        }
        since.is_some()
    }

    /// In a dry run, whether a boot would wait now.
    pub(crate) fn would_wait(&self) -> bool {
        self.is_dry_run() && !self.run.locked().stages[self.index].waits.is_empty()
    }

    /// How an earlier stage of this run ended, if it did.
    pub(crate) fn outcome_of(&self, name: &str) -> Option<StageOutcome> {
        self.run.locked().stages.iter().rfind(|stage| stage.name == name).map(|stage| stage.outcome)
    }

    /// Reports what the stage is waiting for. The record has each kind of wait once, with start and end.
    pub(crate) fn waiting(&self, cause: &Cause) {
        self.note_wait(cause);
        let waited = self.started.elapsed();
        self.run.console.emit(Event::Waiting { stage: self.name, cause: cause.clone(), waited });
    }

    fn note_wait(&self, cause: &Cause) {
        let now = Timestamp::now();
        self.run.note(|record| match record.stages[self.index].waits.last_mut() {
            Some(wait) if wait.cause.kind == cause.kind => {
                wait.cause = cause.clone();
                wait.until = now;
            }
            _ => {
                let wait = Wait { cause: cause.clone(), since: now, until: now };
                record.stages[self.index].waits.push(wait);
            }
        });
    }

    /// Reports progress; `bytes` are done and total.
    pub(crate) fn progress(&self, text: impl Into<String>, bytes: Option<(u64, u64)>) {
        self.run.console.emit(Event::Progress { stage: self.name, text: text.into(), bytes });
    }

    /// Relays an output line of a program that the stage runs.
    pub(crate) fn output(&self, line: &str) {
        self.run.console.emit(Event::Output { stage: self.name, line: line.to_owned() });
    }

    /// Reports and records a warning.
    pub(crate) fn warn(&self, cause: Cause) {
        self.run.warn(Some(self.name), cause);
    }

    pub(super) fn end(&self, outcome: StageOutcome, detail: String, cause: Option<Cause>) {
        self.ended.store(true, Ordering::Relaxed);
        self.run.note(|record| {
            let stage = &mut record.stages[self.index];
            stage.outcome = outcome;
            stage.ended_at = Some(Timestamp::now());
            stage.detail = detail.clone();
            stage.cause = cause.clone();
        });
        let elapsed = self.started.elapsed();
        self.run.console.emit(Event::Ended { stage: self.name, outcome, elapsed, detail, cause });
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        if !self.ended.load(Ordering::Relaxed) {
            self.end(StageOutcome::Interrupted, String::new(), None);
        }
    }
}
