//! The app: its status in Replicated, and its log.

use super::super::answer::Outcome;
use super::super::facts::Stopped;
use super::super::inquiry::Inquiry;
use super::app_log;
use crate::bundle;
use crate::replicated::{app, health};

/// How many of the app's last log lines are searched if it is not ready; one JVM stack trace has a hundred.
const SEARCHED: usize = 300;

/// How many are searched if it is ready, since older ones are about resolved problems, and how many are shown.
const SHOWN: usize = 20;

pub(super) async fn status(inquiry: &Inquiry<'_>) -> Result<Outcome, Stopped> {
    inquiry.need(inquiry.facts.engine()).await?;
    let apps = inquiry.facts.apps().await?;
    app::ready(apps)?;
    let doing: Vec<String> = apps.iter().map(app::AppStatus::doing).collect();
    Ok(Outcome::good(doing.join(", ")))
}

/// The last log lines of the app's frontend, which say why it does not start.
pub(super) async fn log(inquiry: &Inquiry<'_>) -> Result<Outcome, Stopped> {
    let facts = inquiry.facts;
    let engine = inquiry.need(facts.engine()).await?;
    let containers = inquiry.need(facts.containers()).await?;
    let Some(frontend) = health::frontend(containers) else {
        return Ok(Outcome::waits_for("app.status"));
    };
    let lines = engine.logs(&frontend.id, SEARCHED).await?;
    inquiry.need(inquiry.facts.secrets()).await?;
    // Without access to the bundle, its secrets are unknown; those in addresses are still found.
    let secrets: Vec<String> = bundle::secrets_in_addresses(&lines.join("\n")).collect();
    facts.ground.secrets.register_all(secrets.iter().map(String::as_str));
    let is_ready = inquiry.need(facts.apps()).await.is_ok_and(|apps| app::ready(apps).is_ok());
    let searched = if is_ready { SHOWN } else { SEARCHED };
    let last = |count: usize| &lines[lines.len().saturating_sub(count)..];
    let with_lines = |cause: crate::cause::Cause| {
        let shown = last(SHOWN).join("\n");
        let shown = if shown.is_empty() { "nothing".to_owned() } else { shown };
        cause.with("container", &frontend.name).with("its last lines", shown)
    };
    match (app_log::known_cause(last(searched)), is_ready) {
        (Some(cause), false) => Ok(Outcome::Failed { cause: with_lines(cause) }),
        (Some(cause), true) => Ok(Outcome::Warning { cause: with_lines(cause) }),
        (None, false) => Ok(Outcome::Warning { cause: with_lines(app_log::unknown_cause()) }),
        (None, true) => {
            let line = lines.iter().rev().find(|line| !line.trim().is_empty());
            let line = line.map_or("the log is empty", |line| line.trim());
            // Cutting first could leave half a secret, which the scrubber does not know.
            Ok(Outcome::good(short(&facts.ground.secrets.foreign(line))))
        }
    }
}

/// One line, as much of it as a list has room for.
fn short(line: &str) -> String {
    const LONGEST: usize = 120;
    match line.chars().count() <= LONGEST {
        true => line.to_owned(),
        false => line.chars().take(LONGEST).chain(['…']).collect(),
    }
}
