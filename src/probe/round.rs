//! One round: all selected checks, concurrently, each with its own timeout.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::{join, join_all};

use super::answer::{Answer, Outcome};
use super::catalogue::catalogue;
use super::check::{Check, Id};
use super::facts::{Facts, ProbeContext, Stopped, no_answer};
use super::inquiry::{Clock, Inquiry, Sink, Watcher};
use super::questions::{self, Single};
use super::selection::Selection;

/// Timeout of one check, excluding shared facts. The underlying requests have their own timeouts, with better messages:
/// the longest is a database's, ten seconds for its name and ten for the rest.
pub(super) const LIMIT: Duration = Duration::from_secs(25);

/// Runs all selected checks concurrently. Results are in the catalogue's order; a check that is not selected is
/// included if it failed and a selected one depends on it.
pub(crate) async fn ask(ground: &ProbeContext<'_>, wanted: &Selection, watcher: &dyn Watcher) -> Vec<Answer> {
    let facts = Facts::new(ground);
    let catalogue = catalogue(ground.settings.health_urls.len());
    let sink = Sink::new(wanted, &catalogue, watcher);
    let singles = questions::SINGLES.iter().filter(|single| wanted.wants(single.id));
    let singles = join_all(singles.map(|single| ask_single(single, &facts, &sink)));
    let families = join_all(questions::FAMILIES.iter().map(|ask| ask(&facts, &sink)));
    join(singles, families).await;
    arranged(sink.into_answers(), wanted, &catalogue)
}

async fn ask_single(single: &Single, facts: &Facts<'_>, sink: &Sink<'_>) {
    let Check { id, group, .. } = single.check();
    let clock = Clock::new();
    let inquiry = Inquiry { facts, clock: &clock };
    let asked = tokio::select! {
        asked = (single.ask)(&inquiry) => asked,
        () = clock.runs_out(LIMIT) => Err(Stopped::Failed(no_answer(&id, LIMIT))),
    };
    let outcome = match asked {
        Ok(outcome) => outcome,
        Err(stopped) => sink.stopped(&id, stopped),
    };
    sink.take(Answer::new(id, group, outcome, clock.own_time()));
}

/// Sorts into the catalogue's order, and drops what is not selected.
fn arranged(mut answers: Vec<Answer>, wanted: &Selection, catalogue: &[Check]) -> Vec<Answer> {
    let awaited: BTreeSet<Id> = answers
        .iter()
        .filter(|answer| wanted.wants(&answer.id))
        .filter_map(|answer| match &answer.outcome {
            Outcome::Skipped { waits_for, .. } => waits_for.clone(),
            _ => None,
        })
        .collect();
    answers.retain(|answer| wanted.wants(&answer.id) || awaited.contains(&answer.id));
    answers.sort_by_cached_key(|answer| {
        let place = catalogue.iter().position(|check| check.id == answer.id);
        // Addresses specific to this bundle follow the known ones, with their rungs in order.
        let name = place.is_none().then(|| answer.id.rsplit_once('.').map(|(name, _)| name.to_owned()));
        (answer.group, place.unwrap_or(usize::MAX), name)
    });
    answers.dedup_by(|one, other| one.id == other.id);
    answers
}
