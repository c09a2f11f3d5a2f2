//! The databases: one climb for each login, whose rungs are the checks.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;

use super::super::answer::{Answer, Outcome};
use super::super::check::{ADVICE, Group, of_database};
use super::super::facts::{Facts, Stopped};
use super::super::inquiry::Sink;
use crate::bundle::{self, Address, stable_names};
use crate::database::ladder::{self, LadderProbe, LadderResult};
use crate::database::rung::Rung;

/// Where libpq looks for its default certificate files: the app runs as root in its containers.
const HOME: &str = "/root";

/// Climbs to every selected database of the bundle, and reports each rung.
pub(super) async fn ask(facts: &Facts<'_>, sink: &Sink<'_>) {
    let is_wanted = |name: &str| of_database(name).iter().any(|check| sink.wanted.wants(&check.id));
    // Additional addresses become known with the bundle.
    let mut wanted: Vec<String> = stable_names().filter(|name| is_wanted(name)).collect();
    for name in sink.wanted.addresses() {
        if is_wanted(&name) && !wanted.contains(&name) {
            wanted.push(name);
        }
    }
    if wanted.is_empty() {
        return;
    }
    let databases = match facts.databases().await {
        Ok(databases) => databases,
        Err(stopped) => {
            wanted.retain(|name| !sink.wanted.may_be_absent(name));
            return skip_all(&wanted, stopped, sink);
        }
    };
    for database in databases {
        if is_wanted(&database.name) && !wanted.contains(&database.name) {
            wanted.push(database.name.clone());
        }
    }
    for name in &wanted {
        let found = databases.iter().find(|database| database.name == *name);
        let reason = match found.map(|database| (&database.address, &database.setting)) {
            None if sink.wanted.may_be_absent(name) => continue,
            None => "the bundle does not set it".to_owned(),
            Some((Address::Unknown { line, what }, setting)) => {
                format!(
                    "{setting} cannot be determined without running the app's shell, because of {what} on line {line}"
                )
            }
            Some(_) => continue,
        };
        skip_all(std::slice::from_ref(name), Stopped::NotAsked(reason), sink);
    }
    let mut requests = bundle::requests(databases);
    requests.retain(|request| wanted.contains(&request.name));
    let ground = facts.ground;
    let ladder_probe = LadderProbe::new(ground.http.names().clone(), ground.root.clone(), HOME);
    join_all(ladder::logins(&requests).into_iter().map(async |together| {
        for climb in ladder_probe.climb_together(&together).await {
            climbed(&climb).into_iter().for_each(|answer| sink.take(answer));
        }
    }))
    .await;
}

/// One answer for every check of this database.
pub(in super::super) fn climbed(climb: &LadderResult) -> Vec<Answer> {
    let mut answers: Vec<Answer> = climb
        .steps
        .iter()
        .map(|step| {
            let outcome = match &step.outcome {
                ladder::Outcome::Good { detail } => with_address(step.rung, detail),
                ladder::Outcome::Failed { cause } => Outcome::Failed { cause: cause.clone() },
                ladder::Outcome::Skipped { because } => {
                    Outcome::waits_for(format!("{}.{because}", climb.name))
                }
            };
            let took = Duration::from_millis(step.milliseconds);
            Answer::new(format!("{}.{}", climb.name, step.rung), Group::Databases, outcome, took)
        })
        .collect();
    let mut warnings = climb.warnings.iter().cloned();
    let advice = match (warnings.next(), climb.failure()) {
        (Some(cause), _) => Outcome::Warning { cause },
        (None, Some((rung, _))) => Outcome::waits_for(format!("{}.{rung}", climb.name)),
        (None, None) => Outcome::good("no warnings"),
    };
    let mut advice =
        Answer::new(format!("{}.{ADVICE}", climb.name), Group::Databases, advice, Duration::ZERO);
    advice.also = warnings.collect();
    answers.push(advice);
    answers
}

/// The detail of a connection begins with its address.
fn with_address(rung: Rung, detail: &str) -> Outcome {
    let address = detail.split([' ', ',']).next().and_then(|word| word.parse::<SocketAddr>().ok());
    match address {
        Some(address) if rung == Rung::Tcp => Outcome::good(detail).with("address", address),
        _ => Outcome::good(detail),
    }
}

fn skip_all(names: &[String], stopped: Stopped, sink: &Sink<'_>) {
    // Reported once: the missing fact is one failure for all of them.
    let outcome = sink.stopped("", stopped);
    for check in names.iter().flat_map(|name| of_database(name)) {
        sink.take(Answer::new(check.id, check.group, outcome.clone(), Duration::ZERO));
    }
}
