//! One round: every wanted check asked at the same time, each with its own deadline.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::{join, join_all};
use tokio::time::{Instant, sleep};

use super::answer::{Answer, Outcome};
use super::check::{self, Check, Id};
use super::facts::{Facts, ProbeContext, Stopped, no_answer};
use super::questions::{self, Single};
use super::selection::Selection;

/// How long one question may take beside what it waits for. What is asked has deadlines of its own, which say more
/// when they pass: the longest is that of a database, ten seconds for its name and ten for the rest.
pub(super) const LIMIT: Duration = Duration::from_secs(25);

/// Hears of answers as they come.
pub(crate) trait Watcher {
    /// A check was answered.
    fn answered(&self, answer: &Answer);
}

/// Nobody listens.
pub(crate) struct Nobody;

impl Watcher for Nobody {
    fn answered(&self, _: &Answer) {}
}

/// What a single question is asked with.
pub(super) struct Inquiry<'i> {
    pub(super) facts: &'i Facts<'i>,
    clock: &'i Clock,
}

impl<'i> Inquiry<'i> {
    /// Waits for a fact; the question's own time begins anew when it is there.
    pub(super) async fn need<T>(&self, fact: impl Future<Output = Result<T, Stopped>>) -> Result<T, Stopped> {
        self.clock.stop();
        let fact = fact.await;
        self.clock.start();
        fact
    }
}

/// What an answer is told to; several questions at the same time.
pub(super) struct Sink<'s> {
    pub(super) wanted: &'s Selection,
    watcher: &'s dyn Watcher,
    answers: RefCell<Vec<Answer>>,
}

impl Sink<'_> {
    /// What a question comes to that has no answer of its own. A fact that is missing is the failure of the check that
    /// tells of it, which may not have been wanted.
    pub(super) fn stopped(&self, id: &str, stopped: Stopped) -> Outcome {
        match stopped {
            Stopped::Failed(cause) => Outcome::Failed { cause },
            Stopped::NotAsked(reason) => Outcome::not_asked(reason),
            Stopped::Missing { check, cause } if check == id => Outcome::Failed { cause },
            Stopped::Missing { check, cause } => {
                if !self.wanted.wants(&check)
                    && let Some(single) = questions::SINGLES.iter().find(|single| single.id == check)
                {
                    self.take(Answer::new(
                        check.clone(),
                        single.group,
                        Outcome::Failed { cause },
                        Duration::ZERO,
                    ));
                }
                Outcome::waits_for(check)
            }
        }
    }

    /// Takes an answer, also of a check that is not wanted: another's answer may rest on it.
    pub(super) fn take(&self, answer: Answer) {
        if self.wanted.wants(&answer.id) {
            self.watcher.answered(&answer);
        }
        self.answers.borrow_mut().push(answer);
    }
}

/// Asks all wanted checks at once. The answers are in the order of the catalogue; a check that is not wanted is among
/// them if it failed and a wanted one waits for it.
pub(crate) async fn ask(ground: &ProbeContext<'_>, wanted: &Selection, watcher: &dyn Watcher) -> Vec<Answer> {
    let facts = Facts::new(ground);
    let sink = Sink { wanted, watcher, answers: Default::default() };
    let singles = questions::SINGLES.iter().filter(|single| wanted.wants(single.id));
    let singles = join_all(singles.map(|single| ask_single(single, &facts, &sink)));
    let families = join_all(questions::FAMILIES.iter().map(|ask| ask(&facts, &sink)));
    join(singles, families).await;
    arranged(sink.answers.into_inner(), wanted, ground.settings.health_urls.len())
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

/// In the order of the catalogue, without what nobody asked for.
fn arranged(mut answers: Vec<Answer>, wanted: &Selection, health_urls: usize) -> Vec<Answer> {
    let awaited: BTreeSet<Id> = answers
        .iter()
        .filter(|answer| wanted.wants(&answer.id))
        .filter_map(|answer| match &answer.outcome {
            Outcome::Skipped { waits_for, .. } => waits_for.clone(),
            _ => None,
        })
        .collect();
    answers.retain(|answer| wanted.wants(&answer.id) || awaited.contains(&answer.id));
    let catalogue = check::catalogue(health_urls);
    answers.sort_by_cached_key(|answer| {
        let place = catalogue.iter().position(|check| check.id == answer.id);
        // An address that only this bundle has: after the known ones, its rungs in the order in which they came.
        let name = place.is_none().then(|| answer.id.rsplit_once('.').map(|(name, _)| name.to_owned()));
        (answer.group, place.unwrap_or(usize::MAX), name)
    });
    answers.dedup_by(|one, other| one.id == other.id);
    answers
}

/// Runs while a question's own work goes on, and stands while it waits for a fact.
pub(super) struct Clock {
    worked: Cell<Duration>,
    since: Cell<Option<Instant>>,
}

impl Clock {
    fn new() -> Self {
        Clock { worked: Cell::default(), since: Cell::new(Some(Instant::now())) }
    }

    fn own_time(&self) -> Duration {
        self.worked.get() + self.since.get().map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn stop(&self) {
        self.worked.set(self.own_time());
        self.since.set(None);
    }

    fn start(&self) {
        self.since.set(Some(Instant::now()));
    }

    /// Ends when the question has worked for `limit`.
    async fn runs_out(&self, limit: Duration) {
        loop {
            let left = limit.saturating_sub(self.own_time());
            if left.is_zero() {
                return;
            }
            sleep(left).await;
        }
    }
}
