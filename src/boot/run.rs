//! One run of the boot procedure: the context of every stage, and the record.

mod stage;

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;

use crate::cause::Cause;
use crate::command::Achieved;
use crate::console::{Console, Event, Level, StageOutcome};
use crate::files::Root;
use crate::http::Http;
use crate::kind::Kind;
use crate::record::{BootOutcome, Record};
use crate::secret::Secrets;
use crate::settings::Settings;

use super::cloud_init::NetworkStage;
pub(crate) use stage::Stage;

/// The minimum interval between writes of the record, except for changes that must not be lost.
const WRITE_EVERY: Duration = Duration::from_millis(25);

/// How often the main task signals progress, and how long it may be silent before heartbeats to the group stop.
const PULSE: Duration = Duration::from_secs(1);
const STANDSTILL: Duration = Duration::from_secs(60);

/// The context of every stage. One per process; shared with the heartbeats.
pub(crate) struct Run {
    pub(crate) root: Root,
    pub(crate) settings: Settings,
    pub(crate) console: Console,
    pub(crate) http: Http,
    pub(crate) secrets: Secrets,
    /// Replace files and reinstall although this box has completed.
    pub(crate) force: bool,
    is_dry: bool,
    network_stage: NetworkStage,
    moved_at: Mutex<tokio::time::Instant>,
    record: Mutex<Record>,
    is_noted: Notify,
    /// Locked while the record is written.
    disk: Mutex<Disk>,
}

/// The state of the record on disk.
#[derive(Default)]
struct Disk {
    /// The record on disk may belong to another run by now.
    is_given_up: bool,
    /// The result of the last write.
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
        record: Record,
    ) -> Self {
        Run {
            root,
            settings,
            console,
            http,
            secrets,
            force,
            is_dry: false,
            network_stage: NetworkStage::over(),
            moved_at: Mutex::new(tokio::time::Instant::now()),
            record: Mutex::new(record),
            is_noted: Notify::new(),
            disk: Mutex::default(),
        }
    }

    /// The same for a run that begins while cloud-init may still be in `stage`.
    pub(crate) fn beside(self, stage: NetworkStage) -> Self {
        Run { network_stage: stage, ..self }
    }

    /// Turns this run into a dry run: it makes every check once and changes nothing.
    pub(crate) fn dry(self) -> Self {
        let disk = Mutex::new(Disk { is_given_up: true, last: None });
        Run { console: Console::silent(), is_dry: true, disk, ..self }
    }

    /// Runs `work` while signalling progress, in one task, so that a blocking call stops both.
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

    /// How long the main task has made no progress, if that is too long.
    pub(crate) fn standstill(&self) -> Option<Duration> {
        let moved_at = *self.moved_at.lock().unwrap_or_else(PoisonError::into_inner);
        Some(moved_at.elapsed()).filter(|stood| *stood >= STANDSTILL)
    }

    /// Whether this is a dry run. A stage decides with the same code either way, and returns before it acts.
    pub(crate) fn is_dry(&self) -> bool {
        self.is_dry
    }

    /// Runs one stage: reports and records its start, waits and end, even if it is dropped.
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

    /// A copy of the current record.
    pub(crate) fn record(&self) -> Record {
        self.locked().clone()
    }

    /// Changes the record and returns when it is on disk: for changes that a later boot depends on.
    ///
    /// A record that cannot be written is reported but not fatal: the box still works, and only repeats all checks at
    /// its next boot.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Record)) {
        change(&mut self.locked());
        self.write();
    }

    /// Changes the record; [`Run::keep_written`] writes it a moment later. For changes that only people read, so that
    /// no stage waits for the disk.
    pub(crate) fn note(&self, change: impl FnOnce(&mut Record)) {
        change(&mut self.locked());
        self.is_noted.notify_one();
    }

    /// Writes pending changes, while polled.
    pub(crate) async fn keep_written(self: Arc<Self>) {
        loop {
            self.is_noted.notified().await;
            let run = self.clone();
            // An error here is a panic in the write, which has already been reported.
            let _ = tokio::task::spawn_blocking(move || run.write()).await;
            tokio::time::sleep(WRITE_EVERY).await;
        }
    }

    /// Writes the current record, one write at a time, so that an older state never overwrites a newer one. Repeated
    /// identical failures are reported once.
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

    /// Whether this boot may install: the next boot must know about it, or it would overwrite the files of a running
    /// app. A box that is already installed works without a record.
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

    /// Reports and records a warning.
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

    /// Marks the run as finished. This is its last write: the record may belong to the next run afterwards.
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

    /// Removes the record, which belongs to another instance.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A boot stuck in a call that never returns must not keep its instance pending for ever.
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
        let run = Run::new(
            root.clone(),
            settings,
            Console::silent(),
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
