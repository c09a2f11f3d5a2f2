//! What validation has to say about a file: where, how bad, and the cause with its next step.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::cause::{Cause, Evidence};

/// Whether a finding keeps the bundle from being placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing of this bundle is placed.
    Error,
    /// Said, and gone on.
    Warning,
}

/// A place in a text file. Both numbers begin at 1; the column counts characters, not bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// One thing that is wrong with a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Whether it stops the boot.
    pub severity: Severity,
    /// The file as a person knows it: `settings.conf`, or the path of an extra file.
    pub file: String,
    /// Where in the file, if it is about one place.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// What is wrong and what to do.
    #[serde(flatten)]
    pub cause: Cause,
}

impl Finding {
    /// Whether this finding keeps the bundle from being placed.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The cause, with the place in the file as its first evidence.
    pub fn located(&self) -> Cause {
        let place = match self.position {
            Some(position) => format!("{}:{}:{}", self.file, position.line, position.column),
            None => self.file.clone(),
        };
        let mut cause = self.cause.clone();
        cause.evidence.insert(0, Evidence { name: "file".into(), value: place });
        cause
    }
}

/// One cause for all errors among `findings`: `bundle.invalid`, with each as evidence. `consequence` ends its sentence.
pub fn invalid(findings: &[Finding], consequence: &str) -> Cause {
    let errors: Vec<&Finding> = findings.iter().filter(|finding| finding.is_error()).collect();
    let count = match errors.len() {
        1 => "one mistake".to_owned(),
        count => format!("{count} mistakes"),
    };
    let cause = Cause::config(
        "bundle.invalid",
        format!("The bundle has {count}; {consequence}."),
        "Correct the files at the source. To try them from anywhere: agent check DIRECTORY",
    );
    errors.into_iter().fold(cause, |cause, finding| {
        cause.with("mistake", format!("{finding}\n→ {}", finding.cause.next_step))
    })
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(Position { line, column }) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, ": {severity}: {} [{}]", self.cause.sentence, self.cause.kind)
    }
}

/// How many errors, and how many warnings, of one file are kept: nobody reads more, and a hostile file has a million.
const MOST: usize = 100;

/// Collects the findings about one file, turning byte offsets into positions.
pub(super) struct Notes<'t> {
    file: String,
    text: &'t str,
    line_starts: Vec<usize>,
    findings: Vec<Finding>,
    counts: BTreeMap<Severity, usize>,
}

impl<'t> Notes<'t> {
    /// For a file whose text is `text`; `""` where there is none.
    pub(super) fn new(file: impl Into<String>, text: &'t str) -> Self {
        let line_starts = std::iter::once(0)
            .chain(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i + 1));
        Notes {
            file: file.into(),
            text,
            line_starts: line_starts.collect(),
            findings: Vec::new(),
            counts: BTreeMap::new(),
        }
    }

    /// Where a byte offset is. An offset inside a character or past the end means the nearest place before it.
    pub(super) fn position(&self, offset: usize) -> Position {
        let line = self.line_starts.partition_point(|start| *start <= offset).max(1);
        let start = self.line_starts.get(line - 1).copied().unwrap_or(0);
        let column = self.text.get(start..).map_or(0, |rest| {
            rest.char_indices()
                .take_while(|(at, _)| start + at < offset)
                .take_while(|(_, c)| *c != '\n')
                .count()
        });
        Position { line, column: column + 1 }
    }

    pub(super) fn error(&mut self, at: impl Into<Option<usize>>, cause: Cause) {
        self.add(Severity::Error, at.into(), cause);
    }

    pub(super) fn warning(&mut self, at: impl Into<Option<usize>>, cause: Cause) {
        self.add(Severity::Warning, at.into(), cause);
    }

    fn add(&mut self, severity: Severity, at: Option<usize>, cause: Cause) {
        let count = self.counts.entry(severity).or_default();
        *count += 1;
        if *count > MOST {
            return;
        }
        let position = at.map(|offset| self.position(offset));
        self.findings.push(Finding { severity, file: self.file.clone(), position, cause });
    }

    /// The findings in the order of their places; what is about the whole file comes first. Of
    /// several findings of one kind at one place the first stays.
    pub(super) fn finish(mut self) -> Vec<Finding> {
        self.findings.sort_by(|a, b| {
            (a.position, a.severity, &a.cause.kind).cmp(&(b.position, b.severity, &b.cause.kind))
        });
        self.findings.dedup_by(|b, a| {
            a.position.is_some() && a.position == b.position && a.cause.kind == b.cause.kind
        });
        self.findings
    }
}
