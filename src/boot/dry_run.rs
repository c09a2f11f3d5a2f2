//! `agent boot --dry-run`: shows what a boot would do. It runs the boot's own procedure; each stage makes its checks
//! once, decides, and returns before changing anything.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::cause::Cause;
use crate::command::{CommandContext, CommandOutput, Exit};
use crate::console::{StageOutcome, text};
use crate::http::Http;
use crate::record::{self, Record, StageRecord, times};
use crate::settings::Source;

use super::discovered::Discovered;
use super::failure::Consequence;
use super::order::Order;
use super::run::Run;
use super::{order, procedure};

/// What a boot with this command line would do, as text and as JSON.
///
/// # Errors
/// [`order::ANOTHER_BOX`]: the boot would continue without that request, and so does the caller.
pub(super) async fn run(
    world: CommandContext,
    source: &Source,
    order: Option<&Order>,
    force: bool,
) -> Result<CommandOutput, Cause> {
    let CommandContext { root, settings, console, secrets, .. } = world;
    let follows = record::boot_runs(&root);
    // A boot also treats an unreadable record as none.
    let (previous, unreadable) = match Record::read(&root) {
        Ok(previous) => (previous, None),
        Err(cause) => (None, Some(cause)),
    };
    let begun = Record::begin(source.to_string(), previous.and_then(|record| record.instance));
    let http = Http::new(root.clone());
    let run = Arc::new(Run::new(root, settings, console, http, secrets, force, begun).dry());
    if let Some(cause) = unreadable {
        run.warn(None, cause);
    }
    let told = Discovered::default();
    let (deadline, _watched) = watch::channel(Instant::now() + Duration::from_secs(u64::from(u32::MAX)));
    let failure = match procedure(&run, source, order, &told, &deadline).await {
        Err(cause) if cause.kind == order::ANOTHER_BOX => return Err(cause),
        ended => ended.err(),
    };
    let record = run.shown();
    let failure = failure.map(|cause| cause.scrubbed(&run.secrets));
    let end = End::of(&record, failure, Consequence::of(&run.settings, &record, told.lifecycle()));
    Ok(printed(&record, &end, follows))
}

/// How the boot would end.
struct End {
    state: &'static str,
    sentence: String,
    failure: Option<Cause>,
    exit: Exit,
}

impl End {
    fn of(record: &Record, failure: Option<Cause>, consequence: Consequence) -> Self {
        let waiting = record.stages.iter().find(|stage| would_wait(stage)).map(|stage| stage.name.as_str());
        let failed = record.stages.iter().find(|stage| stage.outcome == StageOutcome::Failed);
        let (state, sentence) = match (failed, waiting) {
            (Some(failed), Some(waiting)) if failed.name == waiting => (
                "waiting",
                format!("The boot would wait in stage {waiting}, and if that lasts too long {consequence}."),
            ),
            (Some(failed), _) => {
                ("failed", format!("The boot would fail in stage {} and {consequence}.", failed.name))
            }
            (None, _) if failure.is_some() => ("failed", format!("The boot would fail and {consequence}.")),
            (None, Some(waiting)) => (
                "waiting",
                format!("The boot would wait in stage {waiting}, and if that lasts too long {consequence}."),
            ),
            (None, None) => ("in_service", "The boot would end in service.".to_owned()),
        };
        let exit = if state == "in_service" { Exit::Good } else { Exit::Failed };
        // A failed stage shows its own cause.
        let failure = failure.filter(|_| failed.is_none());
        End { state, sentence, failure, exit }
    }
}

/// Whether a boot would wait in this stage.
fn would_wait(stage: &StageRecord) -> bool {
    matches!(stage.outcome, StageOutcome::Running | StageOutcome::Failed) && !stage.waits.is_empty()
}

fn printed(record: &Record, end: &End, follows: bool) -> CommandOutput {
    let mut said = String::new();
    if follows {
        said.push_str("Another boot is already running on this instance; agent boot would follow it.\n\n");
    }
    for stage in &record.stages {
        let cause = stage.cause.as_ref().or(stage.waits.last().map(|wait| &wait.cause));
        let sign = stage.outcome.sign();
        match (stage.outcome, cause.filter(|_| stage.outcome == StageOutcome::Failed || would_wait(stage))) {
            (_, Some(cause)) => {
                let would = if would_wait(stage) { "would wait for this:" } else { "would fail:" };
                said.push_str(&format!("{sign} {:<10} {would}\n{}", stage.name, text::cause(cause)));
            }
            (StageOutcome::Done, _) => {
                said.push_str(&format!("{} {:<10} {}\n", text::green(sign), stage.name, stage.detail));
            }
            _ => said.push_str(&format!("{} {:<10} {}\n", text::faint(sign), stage.name, stage.detail)),
        }
    }
    for warning in &record.warnings {
        said.push_str(&format!("\n{}", text::warning(warning)));
    }
    if let Some(cause) = &end.failure {
        said.push_str(&format!("\n{}", text::cause(cause)));
    }
    said.push_str(&format!("\n{}\n", end.sentence));
    let stages: Vec<_> = record.stages.iter().map(stage_json).collect();
    let mut json = serde_json::json!({
        "version": 1,
        "dry_run": true,
        "source": record.source,
        "instance": record.instance,
        "follows_running_boot": follows,
        "stages": stages,
        "warnings": record.warnings,
        "would_end": end.state,
        "detail": end.sentence,
    });
    times::publish(&mut json);
    if let Some(cause) = &end.failure {
        json["cause"] = serde_json::json!(cause);
    }
    CommandOutput { text: said, json, exit: end.exit }
}

fn stage_json(stage: &StageRecord) -> serde_json::Value {
    let outcome = if would_wait(stage) { "waiting" } else { stage.outcome.as_str() };
    let mut json = serde_json::json!({ "name": stage.name, "outcome": outcome });
    if !stage.detail.is_empty() {
        json["detail"] = stage.detail.as_str().into();
    }
    let waited = stage.waits.last().filter(|_| would_wait(stage)).map(|wait| &wait.cause);
    if let Some(cause) = stage.cause.as_ref().or(waited) {
        json["cause"] = serde_json::json!(cause);
    }
    json
}
