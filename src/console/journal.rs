//! The journal, with structured fields: `journalctl BOOT_STAGE=fetch`, `journalctl BOOT_CAUSE=s3.access_denied`.

use std::os::linux::fs::MetadataExt;
use std::sync::OnceLock;

use tracing::Dispatch;
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::layer::SubscriberExt;

use super::event::{Event, Level, Renderer, StageOutcome, human};
use super::lines;
use crate::cause::Cause;

/// Whether systemd connected this file descriptor of the process to the journal.
pub(super) fn is_its(descriptor: u8) -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    std::fs::metadata(format!("/proc/self/fd/{descriptor}"))
        .is_ok_and(|found| stream == format!("{}:{}", found.st_dev(), found.st_ino()))
}

pub(super) struct Journal {
    /// Used for this program's own events alone. It is not made the default: what a library logs has passed no
    /// scrubber.
    dispatch: Dispatch,
    instance_id: OnceLock<String>,
}

impl Journal {
    /// The journal, if systemd connected this process's standard error to it (`$JOURNAL_STREAM`, systemd.exec(5)).
    pub(super) fn if_stderr_is_its() -> Option<Self> {
        if !is_its(2) {
            return None;
        }
        let priorities = PriorityMappings {
            info: Priority::Informational,
            debug: Priority::Debug,
            ..PriorityMappings::new()
        };
        let layer =
            tracing_journald::layer().ok()?.with_field_prefix(None).with_priority_mappings(priorities);
        let subscriber =
            tracing_subscriber::registry().with(layer.with_syslog_identifier("boot-agent".into()));
        Some(Journal { dispatch: Dispatch::new(subscriber), instance_id: OnceLock::new() })
    }

    fn say(&self, level: tracing::Level, stage: Option<&str>, cause: Option<&Cause>, text: &str) {
        let instance_id = self.instance_id.get().map(String::as_str);
        let cause = cause.map(|cause| cause.kind.as_str());
        macro_rules! at {
            ($level:expr) => {
                tracing::event!($level, boot_stage = stage, boot_cause = cause, instance_id, "{text}")
            };
        }
        tracing::dispatcher::with_default(&self.dispatch, || match level {
            tracing::Level::ERROR => at!(tracing::Level::ERROR),
            tracing::Level::WARN => at!(tracing::Level::WARN),
            tracing::Level::DEBUG => at!(tracing::Level::DEBUG),
            _ => at!(tracing::Level::INFO),
        });
    }
}

impl Renderer for Journal {
    fn show(&self, event: &Event) {
        use tracing::Level as Severity;
        match event {
            Event::Started { stage } => {
                self.say(Severity::INFO, Some(stage), None, &format!("{stage} started"))
            }
            Event::Waiting { stage, cause, waited } => {
                let text = format!("{stage} waiting ({}): {}", human(*waited), lines::in_one_line(cause));
                self.say(Severity::WARN, Some(stage), Some(cause), &text);
            }
            Event::Progress { stage, text, .. } => {
                self.say(Severity::DEBUG, Some(stage), None, &format!("{stage} {text}"));
            }
            Event::Output { stage, line } => self.say(Severity::INFO, Some(stage), None, line),
            Event::Ended { stage, outcome, detail, elapsed, cause } => {
                let (priority, word) = match outcome {
                    StageOutcome::Done | StageOutcome::Running => (Severity::INFO, "done"),
                    StageOutcome::Skipped => (Severity::INFO, "skipped"),
                    StageOutcome::Failed => (Severity::ERROR, "failed"),
                    StageOutcome::Interrupted => (Severity::WARN, "interrupted"),
                };
                let said = cause.as_ref().map_or_else(|| detail.clone(), lines::in_one_line);
                let text = format!("{stage} {word} after {}: {said}", human(*elapsed));
                self.say(priority, Some(stage), cause.as_ref(), &text);
            }
            Event::Note { stage, level, text, cause } => {
                let priority = match level {
                    Level::Detail => Severity::DEBUG,
                    Level::Info => Severity::INFO,
                    Level::Warning => Severity::WARN,
                };
                self.say(
                    priority,
                    *stage,
                    cause.as_ref(),
                    &lines::note("", Level::Info, text, cause.as_ref()),
                );
            }
            Event::Identified { instance_id } => {
                // Set once: an instance does not change its id while it runs.
                let _ = self.instance_id.set(instance_id.clone());
            }
            Event::Ready { status } => self.say(Severity::INFO, None, None, status),
            Event::Failed { text, cause } => {
                let text = lines::note("", Level::Info, text, cause.as_ref());
                self.say(Severity::ERROR, None, cause.as_ref(), &text);
            }
            Event::Part { .. } | Event::Over => {}
        }
    }
}
