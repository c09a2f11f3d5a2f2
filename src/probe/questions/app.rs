//! The app, as Replicated sees it and as it speaks itself.

use super::super::answer::Outcome;
use super::super::facts::Stopped;
use super::super::inquiry::Inquiry;
use super::app_log;
use crate::bundle;
use crate::replicated::{app, health};
use crate::secret;

/// How many of the app's last lines are searched when it is not ready; one stack trace of a JVM has a hundred.
const SEARCHED: usize = 300;

/// How many are searched when it is ready, since older ones are of a trouble that is over, and how many are shown.
const SHOWN: usize = 20;

pub(super) async fn status(inquiry: &Inquiry<'_>) -> Result<Outcome, Stopped> {
    inquiry.need(inquiry.facts.engine()).await?;
    let apps = inquiry.facts.apps().await?;
    app::ready(apps)?;
    let doing: Vec<String> = apps.iter().map(app::AppStatus::doing).collect();
    Ok(Outcome::good(doing.join(", ")))
}

/// The last lines of the app's frontend, where it says why it does not start.
pub(super) async fn log(inquiry: &Inquiry<'_>) -> Result<Outcome, Stopped> {
    let facts = inquiry.facts;
    let engine = inquiry.need(facts.engine()).await?;
    let containers = inquiry.need(facts.containers()).await?;
    let Some(frontend) = health::frontend(containers) else {
        return Ok(Outcome::waits_for("app.status"));
    };
    let lines = engine.logs(&frontend.id, SEARCHED).await?;
    inquiry.need(inquiry.facts.secrets()).await?;
    // Whoever may not read the bundle does not know its secrets; those that stand in addresses are found there.
    let secrets: Vec<String> = bundle::secrets_in_addresses(&lines.join("\n")).collect();
    secret::register_all(secrets.iter().map(String::as_str));
    let is_ready = inquiry.need(facts.apps()).await.is_ok_and(|apps| app::ready(apps).is_ok());
    let searched = if is_ready { SHOWN } else { SEARCHED };
    let last = |count: usize| &lines[lines.len().saturating_sub(count)..];
    let with_lines = |cause: crate::cause::Cause| {
        let shown = last(SHOWN).join("\n");
        let shown = if shown.is_empty() { "nothing".to_owned() } else { shown };
        cause.with("container", &frontend.name).with("its last lines", secret::scrub(&shown))
    };
    match (app_log::known_cause(last(searched)), is_ready) {
        (Some(cause), false) => Ok(Outcome::Failed { cause: with_lines(cause) }),
        (Some(cause), true) => Ok(Outcome::Warning { cause: with_lines(cause) }),
        (None, false) => Ok(Outcome::Warning { cause: with_lines(app_log::unknown_cause()) }),
        (None, true) => {
            let line = lines.iter().rev().find(|line| !line.trim().is_empty());
            let line = line.map_or("the log is empty", |line| line.trim());
            // What is cut first may end in half a secret, which nobody knows.
            Ok(Outcome::good(short(&secret::scrub(line))))
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
