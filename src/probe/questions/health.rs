//! The health URLs of the app's services.

use std::time::Instant;

use futures_util::future::join_all;

use super::super::answer::{Answer, Outcome};
use super::super::check::{Group, HEALTH, is_in};
use super::super::facts::{Facts, Stopped};
use super::super::inquiry::Sink;
use crate::http;
use crate::replicated::health::{self, Target};
use crate::secret::url;

/// Queries every selected health URL: those from the settings, else of the running services.
pub(super) async fn ask(facts: &Facts<'_>, sink: &Sink<'_>) {
    let urls = &facts.ground.settings.health_urls;
    if !sink.wanted.wants_any_of(HEALTH, sink.catalogue) {
        return;
    }
    let targets = match targets(facts).await {
        Ok(targets) => targets,
        Err(stopped) => {
            let outcome = sink.stopped("", stopped);
            let checks = sink.catalogue.iter().filter(|check| is_in(&check.id, HEALTH));
            for check in checks {
                sink.take(Answer::new(check.id.clone(), Group::App, outcome.clone(), Default::default()));
            }
            return;
        }
    };
    let client = match facts.ground.http.direct().and_then(http::build) {
        Ok(client) => client,
        Err(cause) => {
            sink.take(Answer::new(HEALTH, Group::App, Outcome::Failed { cause }, Default::default()));
            return;
        }
    };
    let asked = targets.into_iter().enumerate().map(async |(number, target)| {
        let started = Instant::now();
        let id = match urls.is_empty() {
            true => format!("{HEALTH}.{}", target.name),
            false => format!("{HEALTH}.{}", number + 1),
        };
        let answered = health::ask_one(&client, &target).await;
        let outcome = match answered {
            Ok(()) => Outcome::good(url::shown(&target.url)),
            Err(cause) => Outcome::Failed { cause },
        };
        sink.take(Answer::new(id, Group::App, outcome, started.elapsed()));
    });
    join_all(asked).await;
}

async fn targets(facts: &Facts<'_>) -> Result<Vec<Target>, Stopped> {
    let urls = &facts.ground.settings.health_urls;
    if urls.is_empty() {
        return Ok(health::known_targets(facts.containers().await?));
    }
    let urls: Vec<String> = urls.iter().map(ToString::to_string).collect();
    Ok(health::given_targets(&urls))
}
