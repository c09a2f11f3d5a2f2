//! What one round came to.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::answer::{Answer, Outcome, in_seconds};
use super::root_causes::{RootCause, rank};
use crate::record::times;
use crate::secret::Secrets;

/// The version of the report's format.
pub(crate) const VERSION: u32 = 1;

/// The results of one round, and the verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Report {
    version: u32,
    agent: &'static str,
    /// When the questions were asked.
    asked_at: Timestamp,
    /// From the first question to the last answer.
    #[serde(rename = "seconds", serialize_with = "in_seconds")]
    milliseconds: u64,
    verdict: Verdict,
    /// What to mend, the deepest first.
    pub(crate) root_causes: Vec<RootCause>,
    pub(crate) checks: Vec<Answer>,
}

/// The whole in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    Good,
    Warnings,
    Failed,
}

impl Report {
    pub(super) fn new(asked_at: Timestamp, took: Duration, checks: Vec<Answer>) -> Self {
        let roots = rank(&checks);
        let verdict = match roots.first() {
            Some(root) if root.is_failure => Verdict::Failed,
            Some(_) => Verdict::Warnings,
            None => Verdict::Good,
        };
        let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        Report {
            version: VERSION,
            agent: env!("CARGO_PKG_VERSION"),
            asked_at,
            milliseconds,
            verdict,
            root_causes: roots,
            checks,
        }
    }

    /// Makes every free text fit to be shown.
    pub(super) fn scrub(&mut self, secrets: &Secrets) {
        self.checks.iter_mut().for_each(|answer| answer.scrub(secrets));
        self.root_causes.iter_mut().for_each(|root| root.cause.scrub(secrets));
    }

    /// Gives every text that quotes others.
    pub(super) fn each_quotation(&mut self, mut change: impl FnMut(&mut String)) {
        for answer in &mut self.checks {
            if let Outcome::Good { detail, facts } = &mut answer.outcome {
                std::iter::once(detail).chain(facts.values_mut()).for_each(&mut change);
            }
        }
        let answers = self.checks.iter_mut().flat_map(Answer::causes_mut);
        for cause in answers.chain(self.root_causes.iter_mut().map(|root| &mut root.cause)) {
            cause.evidence.iter_mut().for_each(|item| change(&mut item.value));
        }
    }

    /// As programs read it.
    pub(super) fn json(&self) -> serde_json::Value {
        // Serialization cannot fail for these types; null would be noticed by every reader.
        let mut json = serde_json::to_value(self).unwrap_or(serde_json::Value::Null);
        times::publish(&mut json);
        json
    }

    /// Whether nothing is broken; with `strict`, a warning counts as broken.
    pub(super) fn is_good(&self, strict: bool) -> bool {
        match self.verdict {
            Verdict::Good => true,
            Verdict::Warnings => !strict,
            Verdict::Failed => false,
        }
    }

    pub(super) fn took(&self) -> Duration {
        Duration::from_millis(self.milliseconds)
    }

    pub(super) fn not_asked(&self) -> usize {
        self.checks.iter().filter(|answer| is_skipped(answer)).count()
    }

    pub(super) fn was_skipped(&self, id: &str) -> bool {
        self.checks.iter().any(|answer| answer.id == id && is_skipped(answer))
    }
}

fn is_skipped(answer: &Answer) -> bool {
    matches!(answer.outcome, Outcome::Skipped { .. })
}
