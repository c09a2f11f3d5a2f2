//! The context of a check: shared facts, its own clock, and the sink for results.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::answer::{Answer, Outcome};
use super::check::Check;
use super::facts::{Facts, Stopped};
use super::selection::Selection;

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

/// The context of a question that answers a single check.
pub(super) struct Inquiry<'i> {
    pub(super) facts: &'i Facts<'i>,
    pub(super) clock: &'i Clock,
}

impl<'i> Inquiry<'i> {
    /// Waits for a fact, pausing the check's clock.
    pub(super) async fn need<T>(&self, fact: impl Future<Output = Result<T, Stopped>>) -> Result<T, Stopped> {
        self.clock.stop();
        let fact = fact.await;
        self.clock.start();
        fact
    }
}

/// Collects results of concurrent checks.
pub(super) struct Sink<'s> {
    pub(super) wanted: &'s Selection,
    /// Every check there is, in the order in which they are shown.
    pub(super) catalogue: &'s [Check],
    watcher: &'s dyn Watcher,
    answers: RefCell<Vec<Answer>>,
}

impl<'s> Sink<'s> {
    pub(super) fn new(wanted: &'s Selection, catalogue: &'s [Check], watcher: &'s dyn Watcher) -> Self {
        Sink { wanted, catalogue, watcher, answers: RefCell::default() }
    }

    pub(super) fn into_answers(self) -> Vec<Answer> {
        self.answers.into_inner()
    }

    /// The result of a stopped check. A missing fact is a failure of the check that reports it, which may not be
    /// selected.
    pub(super) fn stopped(&self, id: &str, stopped: Stopped) -> Outcome {
        match stopped {
            Stopped::Failed(cause) => Outcome::Failed { cause },
            Stopped::NotAsked(reason) => Outcome::not_asked(reason),
            Stopped::Missing { check, cause } if check == id => Outcome::Failed { cause },
            Stopped::Missing { check, cause } => {
                if !self.wanted.wants(&check)
                    && let Some(known) = self.catalogue.iter().find(|known| known.id == check)
                {
                    self.take(Answer::new(
                        check.clone(),
                        known.group,
                        Outcome::Failed { cause },
                        Duration::ZERO,
                    ));
                }
                Outcome::waits_for(check)
            }
        }
    }

    /// Takes a result, even of a check that is not selected: another may depend on it.
    pub(super) fn take(&self, answer: Answer) {
        if self.wanted.wants(&answer.id) {
            self.watcher.answered(&answer);
        }
        self.answers.borrow_mut().push(answer);
    }
}

/// Measures a check's own time; paused while waiting for a fact.
pub(super) struct Clock {
    worked: Cell<Duration>,
    since: Cell<Option<Instant>>,
}

impl Clock {
    pub(super) fn new() -> Self {
        Clock { worked: Cell::default(), since: Cell::new(Some(Instant::now())) }
    }

    pub(super) fn own_time(&self) -> Duration {
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
    pub(super) async fn runs_out(&self, limit: Duration) {
        loop {
            let left = limit.saturating_sub(self.own_time());
            if left.is_zero() {
                return;
            }
            sleep(left).await;
        }
    }
}
