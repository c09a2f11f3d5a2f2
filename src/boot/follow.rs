//! Shows the progress of a boot that runs in another process.

use jiff::Timestamp;

use crate::console::{Console, Event, StageOutcome};
use crate::record::Record;

use super::stages::STAGES;

/// How much of a boot's record has been shown.
#[derive(Default)]
pub(super) struct Shown {
    boot: Option<Timestamp>,
    seen: Vec<String>,
}

impl Shown {
    /// Shows what is new; the record of a different boot is shown from its start.
    pub(super) fn show_news(&mut self, console: &Console, record: &Record) {
        if self.boot != Some(record.started_at) {
            *self = Shown { boot: Some(record.started_at), seen: Vec::new() };
        }
        if let Some(instance) = &record.instance
            && self.is_new(instance.id.clone())
        {
            console.emit(Event::Identified { instance_id: instance.id.clone() });
        }
        for stage in &record.stages {
            let Some(name) = STAGES.iter().find(|name| **name == stage.name) else { continue };
            if self.is_new(format!("{name} started")) {
                console.emit(Event::Started { stage: name });
            }
            if stage.outcome == StageOutcome::Running {
                if let Some(wait) = stage.waits.last() {
                    let waited = crate::record::between(wait.since, Timestamp::now());
                    console.emit(Event::Waiting { stage: name, cause: wait.cause.clone(), waited });
                }
            } else if self.is_new(format!("{name} ended")) {
                console.emit(Event::Ended {
                    stage: name,
                    outcome: stage.outcome,
                    elapsed: stage.elapsed(Timestamp::now()),
                    detail: stage.detail.clone(),
                    cause: stage.cause.clone(),
                });
            }
        }
    }

    fn is_new(&mut self, news: String) -> bool {
        let is_new = !self.seen.contains(&news);
        if is_new {
            self.seen.push(news);
        }
        is_new
    }
}
