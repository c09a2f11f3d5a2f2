//! The state of the imagined shell.

use std::collections::BTreeMap;

use super::value::{Remark, Sourced, Unknown, Value, Variable};

/// The most that all expansions of variables together may come to, in bytes; far beyond any file that people write.
pub(super) const LARGEST_SUM: usize = 2 * 1024 * 1024;

/// How a command ends, as far as that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Succeeds,
    Fails,
    Unknown,
}

/// The state of the imagined shell.
pub(super) struct Run {
    pub(super) reading: Sourced,
    /// `set -a`
    pub(super) all_exported: bool,
    /// `set -u`
    pub(super) stops_at_unset: bool,
    /// `set -e`
    pub(super) stops_at_failure: bool,
    /// Whether another file has run, so that any command may be a function.
    pub(super) sourced: bool,
    /// What is left of [`LARGEST_SUM`].
    pub(super) left: usize,
    /// The variables whose last assignment went wrong, each with the chain where it did.
    pub(super) slipped: BTreeMap<String, usize>,
    /// How many chains have been run.
    pub(super) chains: usize,
    /// The place of a `;` that may have cut a value short, and the variable.
    pub(super) after_semicolon: Option<(usize, String)>,
}

impl Run {
    pub(super) fn new() -> Self {
        Run {
            reading: Sourced {
                variables: BTreeMap::new(),
                lost: None,
                remarks: Vec::new(),
                comments: Vec::new(),
            },
            all_exported: false,
            stops_at_unset: false,
            stops_at_failure: false,
            sourced: false,
            left: LARGEST_SUM,
            slipped: BTreeMap::new(),
            chains: 0,
            after_semicolon: None,
        }
    }

    pub(super) fn remark(&mut self, at: usize, remark: Remark) {
        self.reading.remarks.push((at, remark));
    }

    pub(super) fn lose(&mut self, name: &str, unknown: &Unknown) {
        let variable = Variable::new(Value::Unknown(unknown.clone()), unknown.at);
        self.reading.variables.insert(name.to_owned(), variable);
    }

    pub(super) fn lose_all(&mut self, unknown: &Unknown) {
        self.reading.variables.clear();
        self.reading.lost = Some(unknown.clone());
    }
}
