//! Handles a failed boot: records, shows and uploads the cause, and notifies the group.

use std::fmt;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use bytes::Bytes;
use nix::fcntl::OFlag;

use crate::aws::Aws;
use crate::aws::autoscaling::ActionResult;
use crate::aws::s3::S3;
use crate::cause::{Cause, Class};
use crate::console::{Level, StageOutcome};
use crate::kind::Kind;
use crate::record::{BootOutcome, Record};
use crate::settings::{OnFailure, Settings};

use super::boot_lock::BootLock;
use super::discovered::Discovered;
use super::lifecycle::Lifecycle;
use super::report;
use super::run::Run;
use super::stages::{IMAGES, INSTALL};

/// Upload timeout of a report: best effort, while the group is waiting.
const UPLOAD_DEADLINE: Duration = Duration::from_secs(20);

/// The serial console, whose output `aws ec2 get-console-output` shows when nobody can log in.
const CONSOLE: &str = "/dev/console";

/// What a failed boot reports to the group.
pub(super) enum Consequence {
    /// The group is unknown.
    Unknown,
    /// There is no group.
    NoGroup,
    /// No lifecycle action is pending.
    NothingPending(String),
    /// The launch is abandoned.
    Abandon(Lifecycle, String),
    /// The lifecycle action is kept alive.
    Hold(Lifecycle, String),
}

impl Consequence {
    /// Decides from the settings and from what is known about the group.
    pub(super) fn of(settings: &Settings, record: &Record, lifecycle: Option<&Lifecycle>) -> Self {
        let on_failure = if is_outage_elsewhere(record) { OnFailure::Hold } else { settings.on_failure };
        match (lifecycle, on_failure) {
            (None, _) if record.is_in_no_group() => Consequence::NoGroup,
            (None, _) => Consequence::Unknown,
            (Some(lifecycle), on_failure) => match (&lifecycle.hook, on_failure) {
                (None, _) => Consequence::NothingPending(lifecycle.group.clone()),
                (Some(hook), OnFailure::Abandon) => {
                    Consequence::Abandon(lifecycle.clone(), hook.name.clone())
                }
                (Some(hook), OnFailure::Hold) => Consequence::Hold(lifecycle.clone(), hook.name.clone()),
            },
        }
    }
}

/// Whether the boot failed because a registry or download server is down. A replacement would fail the same way, and so
/// would the next: the group would replace the box in a loop for the whole outage.
fn is_outage_elsewhere(record: &Record) -> bool {
    let Some(cause) = record.cause.as_ref().filter(|cause| cause.class == Class::External) else {
        return false;
    };
    // At the overall deadline, the stage was interrupted while waiting.
    let ended =
        if cause.kind == Kind::BootDeadline { StageOutcome::Interrupted } else { StageOutcome::Failed };
    let mut fetching = record.stages.iter().filter(|stage| matches!(stage.name.as_str(), IMAGES | INSTALL));
    fetching.any(|stage| stage.outcome == ended)
}

/// Completes "the boot would fail and …".
impl fmt::Display for Consequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Consequence::Unknown => f.write_str("could not report to a group, since the group is unknown"),
            Consequence::NoGroup => f.write_str("not report: this instance is not in an Auto Scaling group"),
            Consequence::NothingPending(group) => {
                write!(f, "not report: no lifecycle action of group {group} is pending")
            }
            Consequence::Abandon(lifecycle, hook) => {
                write!(f, "complete hook {hook} of group {} with ABANDON", lifecycle.group)
            }
            Consequence::Hold(lifecycle, hook) => {
                write!(f, "hold this instance, keeping hook {hook} of group {} alive", lifecycle.group)
            }
        }
    }
}

/// Reports the cause on every sink, then follows `on_failure`.
pub(super) async fn finish_failed(run: &Run, told: &mut Discovered, cause: Cause, exclusive: BootLock) {
    run.update(|record| record.cause = Some(cause.clone()));
    write_to_console(run, &cause);
    if let Some(aws) = told.aws() {
        upload(run, aws).await;
    }
    match Consequence::of(&run.settings, &run.record(), told.lifecycle()) {
        Consequence::Unknown | Consequence::NoGroup | Consequence::NothingPending(_) => {
            run.finish(BootOutcome::Failed);
        }
        Consequence::Abandon(lifecycle, _) => {
            let limit = run.settings.lifecycle.wait;
            let waiting = |cause: &Cause| {
                run.console.note(Level::Warning, format!("waiting to complete with ABANDON: {cause}"))
            };
            let outcome = match report::complete(run, &lifecycle, ActionResult::Abandon, limit, waiting).await
            {
                Ok(completed) => {
                    run.console.note(Level::Info, completed.said);
                    if completed.acknowledged { BootOutcome::Abandoned } else { BootOutcome::Failed }
                }
                Err(cause) => {
                    run.warn(None, cause);
                    BootOutcome::Failed
                }
            };
            run.finish(outcome);
        }
        Consequence::Hold(..) => {
            run.finish(BootOutcome::Held);
            // A person may re-run the boot by hand.
            drop(exclusive);
            run.console.note(
                Level::Warning,
                "held: the lifecycle action is being kept alive. Log in, check agent status, then run agent boot again",
            );
            if let Some(heartbeats) = told.heartbeats() {
                heartbeats.ended().await;
            }
        }
    }
}

/// Best effort: a box may have no console.
pub(super) fn write_to_console(run: &Run, cause: &Cause) {
    // Non-blocking, so that a console that nobody reads cannot block the agent.
    let flags = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
    let opened = OpenOptions::new().write(true).custom_flags(flags).open(run.root.path(CONSOLE));
    if let Ok(mut console) = opened {
        let record = run.record();
        let instance = record.instance.as_ref().map_or("unknown instance", |instance| instance.id.as_str());
        let cause = cause.scrubbed(&run.secrets);
        let text = format!(
            "\r\nboot-agent: {instance}: the boot failed ({}, {})\r\nboot-agent: cause: {}\r\nboot-agent: next step: {}\r\n",
            cause.kind,
            cause.class,
            one_line(&cause.sentence),
            one_line(&cause.next_step),
        );
        // One write, so that no kernel message is interleaved.
        let _ = console.write_all(text.as_bytes());
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

async fn upload(run: &Run, aws: &Aws) {
    let Some(location) = &run.settings.report_upload else { return };
    let record = run.record();
    let instance = record.instance.as_ref().map_or("unknown", |instance| instance.id.as_str());
    let key = location.key(&format!("{instance}/{}.json", record.started_at.strftime("%Y%m%dT%H%M%SZ")));
    let body = Bytes::from(format!("{:#}\n", run.shown().to_json()));
    let s3 = S3::new(aws);
    let put = s3.put(&location.bucket, &key, body, "application/json");
    match tokio::time::timeout(UPLOAD_DEADLINE, put).await {
        Ok(Ok(())) => run.console.note(Level::Info, format!("report: s3://{}/{key}", location.bucket)),
        Ok(Err(cause)) => run.warn(None, cause),
        Err(_) => run.console.note(Level::Warning, "the report was not uploaded: S3 did not respond in time"),
    }
}
