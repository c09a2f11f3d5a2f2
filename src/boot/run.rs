//! One run of the boot procedure: what every stage works with, and the record it leaves.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::Notify;

use crate::cause::Cause;
use crate::command::Achieved;
use crate::console::{Console, Event, Level, StageOutcome};
use crate::files::Root;
use crate::http::Http;
use crate::kind::Kind;
use crate::record::{BootOutcome, Record, StageRecord, Wait};
use crate::secret::Secrets;
use crate::settings::Settings;
use crate::wait;

use super::cloud_init::NetworkStage;

/// How often the record of a run is written at most, while nothing that must not be lost changes.
const WRITE_EVERY: Duration = Duration::from_millis(25);

/// How often the task that does the work shows that it moves, and for how long it may stand still before the group is
/// no longer told that the boot goes on.
const PULSE: Duration = Duration::from_secs(1);
const STANDSTILL: Duration = Duration::from_secs(60);

/// How long cloud-init's network stage is waited for without a word.
const WORTH_SAYING: Duration = Duration::from_secs(2);

/// What every stage works with. One per process; shared with the heartbeats.
pub(crate) struct Run {
    pub(crate) root: Root,
    pub(crate) settings: Settings,
    pub(crate) console: Console,
    pub(crate) http: Http,
    pub(crate) secrets: Secrets,
    /// Replace files and install again although this box has completed.
    pub(crate) force: bool,
    is_dry: bool,
    network_stage: NetworkStage,
    moved_at: Mutex<tokio::time::Instant>,
    record: Mutex<Record>,
    is_noted: Notify,
    /// Locked while the record is written.
    disk: Mutex<Disk>,
}

/// How the record on disk stands.
#[derive(Default)]
struct Disk {
    /// The record on disk may be another run's by now.
    is_given_up: bool,
    /// How the last write ended.
    last: Option<Result<(), Cause>>,
}

impl Run {
    pub(crate) fn new(
        root: Root,
        settings: Settings,
        console: Console,
        http: Http,
        secrets: Secrets,
        force: bool,
        network_stage: NetworkStage,
        record: Record,
    ) -> Arc<Self> {
        Arc::new(Run {
            root,
            settings,
            console,
            http,
            secrets,
            force,
            is_dry: false,
            network_stage,
            moved_at: Mutex::new(tokio::time::Instant::now()),
            record: Mutex::new(record),
            is_noted: Notify::new(),
            disk: Mutex::default(),
        })
    }

    /// The same run, about to say what it would do: it asks everything once and changes nothing.
    pub(crate) fn dry(
        root: Root,
        settings: Settings,
        http: Http,
        secrets: Secrets,
        force: bool,
        record: Record,
    ) -> Arc<Self> {
        Arc::new(Run {
            root,
            settings,
            console: Console::silent(),
            http,
            secrets,
            force,
            is_dry: true,
            network_stage: NetworkStage::over(),
            moved_at: Mutex::new(tokio::time::Instant::now()),
            record: Mutex::new(record),
            is_noted: Notify::new(),
            disk: Mutex::new(Disk { is_given_up: true, last: None }),
        })
    }

    /// Does `work`, and shows that the task that does it moves: in one task, so that a call that blocks stops both.
    pub(crate) async fn alive<T>(&self, work: impl Future<Output = T>) -> T {
        let moves = async || -> Infallible {
            let mut interval = tokio::time::interval(PULSE);
            loop {
                interval.tick().await;
                *self.moved_at.lock().unwrap_or_else(PoisonError::into_inner) = tokio::time::Instant::now();
            }
        };
        tokio::select! {
            value = work => value,
            never = moves() => match never {},
        }
    }

    /// For how long the task that does the work has stood still, if that is too long.
    pub(crate) fn standstill(&self) -> Option<Duration> {
        let moved_at = *self.moved_at.lock().unwrap_or_else(PoisonError::into_inner);
        Some(moved_at.elapsed()).filter(|stood| *stood >= STANDSTILL)
    }

    /// Whether this run only says what it would do. A stage decides what to do by the same code either way, and
    /// returns before it acts.
    pub(crate) fn is_dry(&self) -> bool {
        self.is_dry
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

    /// A copy of the record, fit to be shown.
    pub(crate) fn shown(&self) -> Record {
        let mut record = self.record();
        record.scrub(&self.secrets);
        record
    }

    /// The same for a stage that may begin before cloud-init's network stage has ended. What fails until then is tried
    /// again after it: names, groups and space on the disk may come with it.
    pub(crate) async fn early_stage<T>(
        &self,
        name: &'static str,
        work: impl AsyncFn(&Stage<'_>) -> Result<Achieved<T>, Cause>,
    ) -> Result<T, Cause> {
        // Boxed: the compiler counts how deep futures lie in each other.
        Box::pin(self.stage(name, async |stage| match work(stage).await {
            Err(cause) if !self.network_stage.is_over().await => {
                stage.waiting(&cause);
                stage.after_network_stage().await;
                work(stage).await
            }
            done => done,
        }))
        .await
    }

    /// A copy of the record as it stands.
    pub(crate) fn record(&self) -> Record {
        self.locked().clone()
    }

    /// Changes the record, and returns when it is on disk: for what a later boot must know whatever happens now.
    ///
    /// A record that cannot be written is said and not fatal: a box without a record still serves, and is only
    /// asked everything again at its next boot.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Record)) {
        change(&mut self.locked());
        self.write();
    }

    /// Changes the record; [`Run::keep_written`] has it on disk a moment later. For what people look at, so that no
    /// stage waits for the disk.
    pub(crate) fn note(&self, change: impl FnOnce(&mut Record)) {
        change(&mut self.locked());
        self.is_noted.notify_one();
    }

    /// Writes what was noted, as long as it is polled.
    pub(crate) async fn keep_written(self: Arc<Self>) {
        loop {
            self.is_noted.notified().await;
            let run = self.clone();
            // An error here is a panic of the write, which has been said by then.
            let _ = tokio::task::spawn_blocking(move || run.write()).await;
            tokio::time::sleep(WRITE_EVERY).await;
        }
    }

    /// Writes the record as it stands. One write at a time, so that an older state never follows a newer one. A failure is
    /// said once, and not again with each write that fails in the same way.
    fn write(&self) {
        let mut disk = self.disk();
        if disk.is_given_up {
            return;
        }
        let written = self.shown().write(&self.root);
        let is_news = disk.last.as_ref() != Some(&written);
        disk.last = Some(written.clone());
        drop(disk);
        if let (true, Err(cause)) = (is_news, written) {
            self.say_warning(None, cause);
        }
    }

    /// Whether this boot may install: what it does must be known to the next one, which would overwrite the files of an
    /// app that has started. A box that is installed already is served without a record, too.
    ///
    /// # Errors
    /// `record.unwritable` (host).
    pub(crate) fn require_record(&self) -> Result<(), Cause> {
        let is_installed =
            self.locked().instance.as_ref().is_some_and(|instance| instance.installed_at.is_some());
        if is_installed || self.is_dry {
            return Ok(());
        }
        if !matches!(self.disk().last, Some(Ok(()))) {
            self.write();
        }
        match &self.disk().last {
            Some(Err(cause)) => Err(Cause {
                kind: Kind::RecordUnwritable,
                sentence: format!(
                    "The record of this boot cannot be saved, so nothing was installed: {}",
                    cause.sentence
                ),
                ..cause.clone()
            }),
            _ => Ok(()),
        }
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says a warning and keeps it in the record.
    pub(crate) fn warn(&self, stage: Option<&'static str>, cause: Cause) {
        self.note(|record| record.warnings.push(cause.clone()));
        self.say_warning(stage, cause);
    }

    fn say_warning(&self, stage: Option<&'static str>, cause: Cause) {
        self.console.emit(Event::Note {
            stage,
            level: Level::Warning,
            text: String::new(),
            cause: Some(cause),
        });
    }

    /// Marks the run as over. That is the last thing it writes: the record on disk may be the next run's from now on.
    pub(crate) fn finish(&self, outcome: BootOutcome) {
        let now = Timestamp::now();
        self.update(|record| {
            record.outcome = outcome;
            record.ended_at = Some(now);
            if let (BootOutcome::InService, Some(instance)) = (outcome, &mut record.instance) {
                instance.completed_at.get_or_insert(now);
            }
        });
        self.disk().is_given_up = true;
    }

    /// Keeps the record in memory, for a run of which it is not known whether it concerns this machine.
    pub(crate) fn withhold_record(&self) {
        self.disk().is_given_up = true;
    }

    /// From now on the record is written again.
    pub(crate) fn release_record(&self) {
        self.disk().is_given_up = false;
    }

    /// Takes back the record, which is another box's and must not be taken for this one's.
    ///
    /// # Errors
    /// `host.file`.
    pub(crate) fn withdraw(&self) -> Result<(), Cause> {
        self.disk().is_given_up = true;
        Record::remove(&self.root)
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

    /// Whether the stage must return before it acts: see [`Run::is_dry`].
    pub(crate) fn is_dry_run(&self) -> bool {
        self.run.is_dry
    }

    /// Attempts something until it succeeds, fails in a way that waiting does not cure, or `limit` has passed
    /// ([`wait::until`]). A dry run attempts it once, and notes what a boot would wait for.
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

    /// In a dry run: whether a boot would wait now.
    pub(crate) fn would_wait(&self) -> bool {
        self.is_dry_run() && !self.run.locked().stages[self.index].waits.is_empty()
    }

    /// How a stage of this run before this one ended, if it has.
    pub(crate) fn outcome_of(&self, name: &str) -> Option<StageOutcome> {
        self.run.locked().stages.iter().rfind(|stage| stage.name == name).map(|stage| stage.outcome)
    }

    /// Says what the stage waits for. The record keeps each kind of wait once, from when to when.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A boot stuck in a call that never returns must not keep its instance waiting for ever.
    #[tokio::test(start_paused = true)]
    async fn a_task_that_stands_still_is_noticed() -> Result<(), Cause> {
        let root = Root::new("/nowhere");
        let settings = crate::settings::load(
            &root,
            None,
            std::iter::empty(),
            crate::settings::Fragment::from_flags([]),
            &Secrets::default(),
        )?;
        let run = Run::dry(
            root.clone(),
            settings,
            Http::new(root),
            Secrets::default(),
            false,
            Record::begin(String::new(), None),
        );
        run.alive(tokio::time::sleep(STANDSTILL * 3)).await;
        assert_eq!(run.standstill(), None);
        tokio::time::sleep(STANDSTILL).await;
        assert!(run.standstill().is_some());
        Ok(())
    }
}
