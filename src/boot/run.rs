//! One run of the boot procedure: what every stage works with, and the record it leaves.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use jiff::Timestamp;

use crate::cause::Cause;
use crate::console::{Console, Event, Level, StageOutcome};
use crate::files::Root;
use crate::http::Http;
use crate::record::{BootOutcome, Record, StageRecord, Wait};
use crate::settings::Settings;

/// What every stage works with. One per process; shared with the heartbeats.
pub(crate) struct Run {
    pub(crate) root: Root,
    pub(crate) settings: Settings,
    pub(crate) console: Console,
    pub(crate) http: Http,
    /// Replace files and install again although this box has completed.
    pub(crate) force: bool,
    record: Mutex<Record>,
    /// Whether the record on disk may be another run's by now.
    is_handed_over: AtomicBool,
}

/// What a stage achieved: its value for the stages after it, and what to say of it.
pub(crate) struct Achieved<T> {
    value: T,
    outcome: StageOutcome,
    detail: String,
}

impl<T> Achieved<T> {
    /// The stage did its work.
    pub(crate) fn done(value: T, detail: impl Into<String>) -> Self {
        Achieved { value, outcome: StageOutcome::Done, detail: detail.into() }
    }

    /// The stage's postcondition held already, or it had nothing to do.
    pub(crate) fn skipped(value: T, why: impl Into<String>) -> Self {
        Achieved { value, outcome: StageOutcome::Skipped, detail: why.into() }
    }
}

impl Run {
    pub(crate) fn new(
        root: Root,
        settings: Settings,
        console: Console,
        http: Http,
        force: bool,
        record: Record,
    ) -> Arc<Self> {
        Arc::new(Run {
            root,
            settings,
            console,
            http,
            force,
            record: Mutex::new(record),
            is_handed_over: false.into(),
        })
    }

    /// Runs one stage: says and records its start, its waits and its end, also when it is dropped half-way.
    pub(crate) async fn stage<T>(
        &self,
        name: &'static str,
        work: impl AsyncFnOnce(&Stage<'_>) -> Result<Achieved<T>, Cause>,
    ) -> Result<T, Cause> {
        let stage = Stage::start(self, name);
        match work(&stage).await {
            Ok(achieved) => {
                stage.end(achieved.outcome, achieved.detail, None);
                Ok(achieved.value)
            }
            Err(cause) => {
                stage.end(StageOutcome::Failed, String::new(), Some(cause.clone()));
                Err(cause)
            }
        }
    }

    /// A copy of the record as it stands.
    pub(crate) fn record(&self) -> Record {
        self.locked().clone()
    }

    /// Changes the record and writes it.
    ///
    /// A record that cannot be written is said and not fatal: a box without a record still serves, and is only
    /// asked everything again at its next boot.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Record)) {
        let written = {
            let mut record = self.locked();
            change(&mut record);
            if self.is_handed_over.load(Ordering::Relaxed) {
                return;
            }
            record.write(&self.root)
        };
        if let Err(cause) = written {
            self.warn_only(None, cause);
        }
    }

    /// Leaves the record on disk to the next run. To be called before the right to boot is given up.
    pub(crate) fn hand_over_record(&self) {
        // Under the lock, so that no change is half-way to the disk.
        let _record = self.locked();
        self.is_handed_over.store(true, Ordering::Relaxed);
    }

    /// Changes the record in memory; it is written with the next change that must not be lost.
    fn note_in_record(&self, change: impl FnOnce(&mut Record)) {
        change(&mut self.locked());
    }

    /// Says a warning and keeps it in the record.
    pub(crate) fn warn(&self, stage: Option<&'static str>, cause: Cause) {
        self.update(|record| record.warnings.push(cause.clone()));
        self.warn_only(stage, cause);
    }

    fn warn_only(&self, stage: Option<&'static str>, cause: Cause) {
        self.console.emit(Event::Note {
            stage,
            level: Level::Warning,
            text: String::new(),
            cause: Some(cause),
        });
    }

    /// Marks the run as over. The outcome is the last thing written.
    pub(crate) fn finish(&self, outcome: BootOutcome) {
        self.update(|record| {
            record.outcome = outcome;
            record.ended_at = Some(Timestamp::now());
        });
    }

    fn locked(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stage that is running.
pub(crate) struct Stage<'a> {
    pub(crate) run: &'a Run,
    name: &'static str,
    index: usize,
    started: Instant,
    ended: AtomicBool,
}

impl<'a> Stage<'a> {
    fn start(run: &'a Run, name: &'static str) -> Self {
        let mut index = 0;
        run.update(|record| {
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

    /// Says what the stage waits for. The record keeps each kind of wait once, from when to when.
    pub(crate) fn waiting(&self, cause: &Cause) {
        let now = Timestamp::now();
        let is_new = {
            let record = self.run.locked();
            record.stages[self.index].waits.last().is_none_or(|wait| wait.cause.kind != cause.kind)
        };
        if is_new {
            let wait = Wait { cause: cause.clone(), since: now, until: now };
            self.run.update(|record| record.stages[self.index].waits.push(wait));
        } else {
            self.run.note_in_record(|record| {
                if let Some(wait) = record.stages[self.index].waits.last_mut() {
                    wait.cause = cause.clone();
                    wait.until = now;
                }
            });
        }
        let waited = self.started.elapsed();
        self.run.console.emit(Event::Waiting { stage: self.name, cause: cause.clone(), waited });
    }

    /// Says how the stage advances; `bytes` are done and in all.
    pub(crate) fn progress(&self, text: impl Into<String>, bytes: Option<(u64, u64)>) {
        self.run.console.emit(Event::Progress { stage: self.name, text: text.into(), bytes });
    }

    /// Passes on a line of a program that the stage runs.
    pub(crate) fn output(&self, line: &str) {
        self.run.console.emit(Event::Output { stage: self.name, line: line.to_owned() });
    }

    /// Says and records a warning.
    pub(crate) fn warn(&self, cause: Cause) {
        self.run.warn(Some(self.name), cause);
    }

    fn end(&self, outcome: StageOutcome, detail: String, cause: Option<Cause>) {
        self.ended.store(true, Ordering::Relaxed);
        let end = |record: &mut Record| {
            let stage = &mut record.stages[self.index];
            stage.outcome = outcome;
            stage.ended_at = Some(Timestamp::now());
            stage.detail = detail.clone();
            stage.cause = cause.clone();
        };
        let others_run = {
            let record = self.run.locked();
            let is_running = |stage: &StageRecord| stage.outcome == StageOutcome::Running;
            record.stages.iter().enumerate().any(|(index, stage)| index != self.index && is_running(stage))
        };
        if others_run {
            self.run.update(end);
        } else {
            // The next stage's start, or the end of the run, follows at once and is written: each write waits for the
            // disk, and a box that is booting has better things to do.
            self.run.note_in_record(end);
        }
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
