//! How a check was answered.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::check::{Group, Id};
use crate::cause::Cause;
use crate::secret::Secrets;

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "outcome")]
pub(crate) enum Outcome {
    /// As it should be.
    Good {
        /// What was seen, in a few words.
        detail: String,
        /// The same for programs.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        facts: BTreeMap<&'static str, String>,
    },
    /// Not as it should be, and nothing is broken by it.
    Warning {
        /// What.
        cause: Cause,
    },
    /// Broken.
    Failed {
        /// Why.
        cause: Cause,
    },
    /// Not asked.
    Skipped {
        /// The failed check that this one depends on.
        #[serde(skip_serializing_if = "Option::is_none")]
        waits_for: Option<Id>,
        /// Why it was not asked.
        reason: String,
    },
}

impl Outcome {
    pub(crate) fn good(detail: impl Into<String>) -> Self {
        Outcome::Good { detail: detail.into(), facts: BTreeMap::new() }
    }

    /// Adds a fact to a good answer.
    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        if let Outcome::Good { facts, .. } = &mut self {
            facts.insert(name, value.to_string());
        }
        self
    }

    /// Skipped, because there is nothing to check, or because this user lacks permission.
    pub(crate) fn not_asked(reason: impl Into<String>) -> Self {
        Outcome::Skipped { waits_for: None, reason: reason.into() }
    }

    /// Not asked since `check` failed.
    pub(crate) fn waits_for(check: impl Into<Id>) -> Self {
        let check = check.into();
        Outcome::Skipped { reason: format!("waits for {check}"), waits_for: Some(check) }
    }

    /// The cause of a failure or of a warning.
    pub(crate) fn cause(&self) -> Option<&Cause> {
        match self {
            Outcome::Warning { cause } | Outcome::Failed { cause } => Some(cause),
            Outcome::Good { .. } | Outcome::Skipped { .. } => None,
        }
    }

    pub(crate) fn is_failed(&self) -> bool {
        matches!(self, Outcome::Failed { .. })
    }
}

/// As a number of seconds.
pub(super) fn in_seconds<S: serde::Serializer>(milliseconds: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(Duration::from_millis(*milliseconds).as_secs_f64())
}

/// The answer to one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Answer {
    /// The check.
    pub(crate) id: Id,
    #[serde(skip)]
    pub(crate) group: Group,
    /// What was found.
    #[serde(flatten)]
    pub(crate) outcome: Outcome,
    /// Further warnings of the same check, each a separate finding.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) also: Vec<Cause>,
    /// How long the check itself took, without waiting for shared facts.
    #[serde(rename = "seconds", serialize_with = "in_seconds")]
    pub(crate) milliseconds: u64,
}

impl Answer {
    pub(crate) fn new(id: impl Into<Id>, group: Group, outcome: Outcome, took: Duration) -> Self {
        let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        Answer { id: id.into(), group, outcome, also: Vec::new(), milliseconds }
    }

    /// Makes every free text fit to be shown.
    pub(crate) fn scrub(&mut self, secrets: &Secrets) {
        match &mut self.outcome {
            Outcome::Good { detail, facts } => {
                *detail = secrets.own(detail);
                facts.values_mut().for_each(|value| *value = secrets.foreign(value));
            }
            Outcome::Skipped { reason, .. } => *reason = secrets.own(reason),
            Outcome::Warning { .. } | Outcome::Failed { .. } => {}
        }
        self.causes_mut().for_each(|cause| cause.scrub(secrets));
    }

    /// As [`Answer::causes`].
    pub(super) fn causes_mut(&mut self) -> impl Iterator<Item = &mut Cause> {
        let own = match &mut self.outcome {
            Outcome::Warning { cause } | Outcome::Failed { cause } => Some(cause),
            Outcome::Good { .. } | Outcome::Skipped { .. } => None,
        };
        own.into_iter().chain(&mut self.also)
    }

    /// Every cause of a failure or a warning that the check found.
    pub(crate) fn causes(&self) -> impl Iterator<Item = &Cause> {
        self.outcome.cause().into_iter().chain(&self.also)
    }
}
