//! Stage 8: waits until the app is started and steady, and its health URLs respond.

use std::cell::RefCell;
use std::convert::Infallible;
use std::time::Duration;

use tokio::time::Instant;

use crate::cause::Cause;
use crate::command::Achieved;
use crate::console::StageOutcome;
use crate::docker::engine::Engine;
use crate::probe::{self, ProbeContext};
use crate::replicated::{app, health};

use super::run::Stage;

/// How often the app is polled. Each poll starts a process in the daemon's container, on a box that is busy starting
/// everything else.
const ASK_EVERY: Duration = Duration::from_secs(2);

/// How many of the app's last log lines are in the cause if it never becomes ready.
const LOG_LINES: usize = 20;

/// How often to probe for the cause while nothing changes. Each probe logs in to every database.
const DIAGNOSE_EVERY: Duration = Duration::from_secs(15);

/// The checks to run when the app makes no progress.
const SUSPECTS: &[&str] = &["host", "postgres", "mongodb", "docker", "replicated", "app.log"];

/// The message about a ready app.
const READY: &str = "the app is started and its health URLs answer";

/// Waits until the app has been ready for `app.steady`. When nothing has changed for a while, probes the node and shows
/// the root cause instead of the symptom.
pub(super) async fn wait_for(stage: &Stage<'_>, engine: &Engine) -> Result<Achieved<()>, Cause> {
    if stage.is_dry_run() {
        return would_wait(stage, engine).await;
    }
    let standstill = RefCell::new(Standstill::default());
    tokio::select! {
        achieved = until_ready(stage, engine, &standstill) => achieved,
        never = diagnose(stage, &standstill) => match never {},
    }
}

/// The result of a dry run: an app that the installation would start first can only be waited for.
async fn would_wait(stage: &Stage<'_>, engine: &Engine) -> Result<Achieved<()>, Cause> {
    if stage.outcome_of(super::stages::INSTALL) == Some(StageOutcome::Done) {
        return Ok(Achieved::done((), "would wait until the app is started and its health URLs answer"));
    }
    let client = crate::http::build(stage.run.http.direct()?)?;
    Ok(match ask(stage, engine, &client).await {
        Ok(()) => Achieved::done((), READY),
        Err(cause) => {
            stage.waiting(&cause);
            Achieved::waiting((), cause.sentence)
        }
    })
}

async fn until_ready(
    stage: &Stage<'_>,
    engine: &Engine,
    standstill: &RefCell<Standstill>,
) -> Result<Achieved<()>, Cause> {
    let settings = &stage.run.settings;
    let client = crate::http::build(stage.run.http.direct()?)?;
    let started = Instant::now();
    let mut steady_since: Option<Instant> = None;
    loop {
        match ask(stage, engine, &client).await {
            Ok(()) => {
                standstill.borrow_mut().moved();
                let since = *steady_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= settings.app_steady {
                    return Ok(Achieved::done((), READY));
                }
                stage.progress("ready; checking that it remains ready", None);
            }
            Err(cause) => {
                steady_since = None;
                standstill.borrow_mut().saw(&cause);
                let deeper = standstill.borrow().deeper.clone();
                if started.elapsed() >= settings.app_wait {
                    let cause = deeper.unwrap_or(cause);
                    return Err(with_log(engine, cause).await.after_waiting(started.elapsed()));
                }
                stage.waiting(deeper.as_ref().unwrap_or(&cause));
            }
        }
        let left = match steady_since {
            Some(since) => settings.app_steady.saturating_sub(since.elapsed()),
            None => settings.app_wait.saturating_sub(started.elapsed()),
        };
        tokio::time::sleep(ASK_EVERY.min(left)).await;
    }
}

/// Probes for the cause whenever nothing has changed for `app.stalled_after`.
async fn diagnose(stage: &Stage<'_>, standstill: &RefCell<Standstill>) -> Infallible {
    let run = stage.run;
    let ground =
        ProbeContext { root: &run.root, settings: &run.settings, http: &run.http, secrets: &run.secrets };
    loop {
        let left = standstill.borrow().left(run.settings.app_stalled_after);
        if let Some(left) = left {
            tokio::time::sleep(left).await;
            continue;
        }
        let seen = standstill.borrow().seen.clone();
        let cause = probe::leading_cause(&ground, SUSPECTS).await;
        {
            let mut now = standstill.borrow_mut();
            if now.seen == seen {
                if let Some(cause) = &cause
                    && now.deeper.as_ref().is_none_or(|known| known.sentence != cause.sentence)
                {
                    stage.waiting(cause);
                }
                now.deeper = cause;
            }
        }
        tokio::time::sleep(DIAGNOSE_EVERY).await;
    }
}

/// One poll: the app's state from the daemon, then every health URL.
async fn ask(stage: &Stage<'_>, engine: &Engine, client: &reqwest::Client) -> Result<(), Cause> {
    let apps = app::app_status(engine).await?;
    app::ready(&apps)?;
    let urls: Vec<String> = stage.run.settings.health_urls.iter().map(ToString::to_string).collect();
    let targets = if urls.is_empty() {
        health::known_targets(&engine.containers().await?)
    } else {
        health::given_targets(&urls)
    };
    let failed: Vec<Cause> =
        health::ask(client, &targets).await.into_iter().filter_map(Result::err).collect();
    if failed.is_empty() { Ok(()) } else { Err(Cause::together(failed)) }
}

/// How long the state has been unchanged, and the root cause found for it.
#[derive(Default)]
struct Standstill {
    seen: Option<(String, Instant)>,
    deeper: Option<Cause>,
}

impl Standstill {
    /// Records that the app is not ready; a different reason counts as progress.
    fn saw(&mut self, cause: &Cause) {
        if self.seen.as_ref().is_none_or(|(sentence, _)| *sentence != cause.sentence) {
            *self = Standstill { seen: Some((cause.sentence.clone(), Instant::now())), deeper: None };
        }
    }

    fn moved(&mut self) {
        *self = Standstill::default();
    }

    /// How long until `limit` without progress is reached; `None` if it already is.
    fn left(&self, limit: Duration) -> Option<Duration> {
        let lasted = self.seen.as_ref().map_or(Duration::ZERO, |(_, since)| since.elapsed());
        // With no elapsed time, the state has not been observed yet: poll again soon.
        match limit.saturating_sub(lasted) {
            Duration::ZERO if self.seen.is_some() => None,
            left => Some(left.clamp(ASK_EVERY / 4, ASK_EVERY)),
        }
    }
}

/// The app's last log lines, which say why it does not start.
async fn with_log(engine: &Engine, cause: Cause) -> Cause {
    let Ok(containers) = engine.containers().await else { return cause };
    let Some(frontend) = health::frontend(&containers) else { return cause };
    match engine.logs(&frontend.name, LOG_LINES).await {
        Ok(lines) if !lines.is_empty() => cause.with("docker logs frontend", lines.join("\n")),
        Ok(_) => cause.with("docker logs frontend", "empty"),
        Err(error) => cause.with("docker logs frontend", error),
    }
}
