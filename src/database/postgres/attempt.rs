//! The result for one server: the rungs that passed, and the one that failed.

use std::time::Duration;

use super::super::rung::Rung;
use super::errors;
use crate::cause::Cause;

/// The rungs above tcp of one server.
#[derive(Debug, Default)]
pub(super) struct Attempt {
    pub(super) steps: Vec<(Rung, Result<String, Cause>, Duration)>,
    pub(super) warnings: Vec<Cause>,
    /// Whether libpq would continue with the next server in the list.
    pub(super) tries_next: bool,
    /// Whether TLS was agreed upon, or was what failed.
    pub(super) in_tls: bool,
}

impl Attempt {
    pub(super) fn failure(&self) -> Option<(Rung, &Cause)> {
        self.steps.iter().find_map(|(rung, outcome, _)| outcome.as_ref().err().map(|cause| (*rung, cause)))
    }

    /// Ends here.
    pub(super) fn broke(mut self, rung: Rung, cause: Cause, took: Duration) -> Self {
        self.steps.push((rung, Err(cause), took));
        self
    }

    /// The same with another cause for the rung that broke, which keeps the evidence.
    pub(super) fn named(mut self, named: Cause) -> Self {
        for (_, outcome, _) in &mut self.steps {
            if let Err(cause) = outcome {
                let evidence = std::mem::take(&mut cause.evidence);
                *cause = named.clone();
                cause.evidence.extend(evidence);
            }
        }
        self
    }
}

/// The result to report for a server that was tried in two ways: the one that logged in; otherwise the one that got
/// further, with the other as evidence. A missing pg_hba.conf entry is the least informative.
pub(super) fn told_of_both(first: Attempt, second: Attempt) -> Attempt {
    let rank =
        |attempt: &Attempt| attempt.failure().map(|(rung, cause)| (rung, cause.kind != errors::NO_ENTRY));
    if rank(&first).is_none() || rank(&second).is_none() {
        return if rank(&second).is_none() { second } else { first };
    }
    let (mut told, other) = if rank(&second) > rank(&first) { (second, first) } else { (first, second) };
    let way = if other.in_tls { "over TLS" } else { "without TLS" };
    if let Some((_, left)) = other.failure() {
        let said = left.evidence.iter().find(|one| one.name == "server said");
        let words =
            said.map_or_else(|| left.sentence.clone(), |said| format!("{} ({})", left.sentence, said.value));
        for (_, outcome, _) in &mut told.steps {
            if let Err(cause) = outcome {
                *cause = cause.clone().with(way, &words);
            }
        }
    }
    told
}
