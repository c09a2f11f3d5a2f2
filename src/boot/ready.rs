//! Stage 8: the app has started, stays so, and answers.

use std::time::Duration;

use tokio::time::Instant;

use crate::bundle::Bundle;
use crate::cause::Cause;
use crate::docker::engine::Engine;
use crate::replicated::{app, health};
use crate::secret;

use super::databases;
use super::run::{Achieved, Stage};

/// How often the app is asked. Each question starts a process in the daemon's container, which costs the box that is
/// just starting everything else.
const ASK_EVERY: Duration = Duration::from_secs(2);

/// How many of the app's last lines stand in the cause when it never got ready.
const LOG_LINES: usize = 20;

/// Waits until the app is ready and has stayed so for `app.steady`. When nothing has moved for a while, it looks for
/// the cause: the databases first, since they are what usually keeps the app from starting.
pub(super) async fn wait_for(
    stage: &Stage<'_>,
    engine: &Engine,
    bundle: &Bundle,
) -> Result<Achieved<()>, Cause> {
    let settings = &stage.run.settings;
    let client = crate::http::build(stage.run.http.direct()?)?;
    let started = Instant::now();
    let mut steady_since: Option<Instant> = None;
    let mut standstill = Standstill::default();
    loop {
        match ask(stage, engine, &client).await {
            Ok(()) => {
                let since = *steady_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= settings.app_steady {
                    return Ok(Achieved::done((), "the app is started and its health URLs answer"));
                }
                stage.progress("ready; watching whether it stays so", None);
            }
            Err(cause) => {
                steady_since = None;
                if started.elapsed() >= settings.app_wait {
                    let cause = standstill.deeper.unwrap_or(cause);
                    return Err(with_log(engine, cause).await.after_waiting(started.elapsed()));
                }
                if standstill.lasts(&cause) >= settings.app_stalled_after {
                    standstill.deeper =
                        databases::first_failure(stage.run.http.names(), &stage.run.root, bundle).await;
                }
                stage.waiting(standstill.deeper.as_ref().unwrap_or(&cause));
            }
        }
        let left = match steady_since {
            Some(since) => settings.app_steady.saturating_sub(since.elapsed()),
            None => settings.app_wait.saturating_sub(started.elapsed()),
        };
        tokio::time::sleep(ASK_EVERY.min(left)).await;
    }
}

/// One look: the daemon's word on the app, then every health URL.
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

/// For how long the same has been the matter, and what was found beneath it.
#[derive(Default)]
struct Standstill {
    seen: Option<(String, Instant)>,
    deeper: Option<Cause>,
}

impl Standstill {
    fn lasts(&mut self, cause: &Cause) -> Duration {
        match &self.seen {
            Some((sentence, since)) if *sentence == cause.sentence => since.elapsed(),
            _ => {
                self.seen = Some((cause.sentence.clone(), Instant::now()));
                self.deeper = None;
                Duration::ZERO
            }
        }
    }
}

/// The app's own last words, which say why it does not start.
async fn with_log(engine: &Engine, cause: Cause) -> Cause {
    let Ok(containers) = engine.containers().await else { return cause };
    let Some(frontend) = health::frontend(&containers) else { return cause };
    match engine.logs(&frontend.name, LOG_LINES).await {
        Ok(lines) if !lines.is_empty() => {
            cause.with("docker logs frontend", secret::scrub(&lines.join("\n")))
        }
        Ok(_) => cause.with("docker logs frontend", "empty"),
        Err(error) => cause.with("docker logs frontend", error),
    }
}
