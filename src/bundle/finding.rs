//! Validation findings: place, severity, and the cause with its next step.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use crate::cause::{Cause, Evidence};
use crate::kind::Kind;
use crate::secret::{Secrets, visible};

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing of the bundle is installed.
    Error,
    /// Reported only.
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

/// A line of a file with a place in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Excerpt {
    /// The line, or the part of it around the place, as one printable line of at most 200 characters. Each character of a
    /// secret is a `*`, each control character a blank.
    pub text: String,
    /// The place within `text`, in characters, counted from 1.
    pub column: usize,
}

/// One problem of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Whether it stops the boot.
    pub severity: Severity,
    /// The file: `settings.conf`, or the path of an extra file.
    pub file: String,
    /// Where in the file, if it is about one place.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// What is wrong and what to do.
    #[serde(flatten)]
    pub cause: Cause,
    /// The line, with secrets masked, if it is about one place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub excerpt: Option<Excerpt>,
    /// How many findings are left out that this one stands for.
    #[serde(skip)]
    pub(super) stands_for: usize,
}

impl Finding {
    /// Whether this finding keeps the bundle from being placed.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// Makes every free text fit to be shown; the excerpt is.
    pub(crate) fn scrub(&mut self, secrets: &Secrets) {
        self.cause.scrub(secrets);
        self.file = visible(&self.file).into_owned();
    }

    /// The cause, with the place in the file as its first evidence.
    pub fn located(&self) -> Cause {
        let place = match self.position {
            Some(position) => format!("{}:{}:{}", self.file, position.line, position.column),
            None => self.file.clone(),
        };
        let mut cause = self.cause.clone();
        cause.evidence.insert(0, Evidence::new("file", place));
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
        Kind::BundleInvalid,
        format!("The bundle has {count}; {consequence}."),
        "Correct the files at the source. To try them from anywhere: agent check DIRECTORY",
    );
    errors.into_iter().fold(cause, |cause, finding| {
        cause.with_sentence("mistake", format!("{finding}\n→ {}", finding.cause.next_step))
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

/// How many errors, and how many warnings, are kept for one file; a hostile file has a million.
const MOST: usize = 100;

/// How many findings of a whole bundle are kept.
const MOST_IN_ALL: usize = 200;

/// The kind of the finding that says how many more there are.
const MORE: Kind = Kind::BundleMoreFindings;

/// The findings of a whole bundle, cut to 200 with errors before warnings, and one more that gives the number of those
/// left out.
pub(super) fn capped(findings: Vec<Finding>) -> Vec<Finding> {
    let left_out: usize = findings.iter().map(|finding| finding.stands_for).sum();
    let mut kept: Vec<Finding> = findings.into_iter().filter(|finding| finding.stands_for == 0).collect();
    let errors = kept.iter().filter(|finding| finding.is_error()).count();
    let mut room = MOST_IN_ALL - 1;
    let mut warnings = room.saturating_sub(errors);
    let before = kept.len();
    if before > room || left_out > 0 {
        kept.retain(|finding| {
            let keep = room > 0 && (finding.is_error() || warnings > 0);
            if keep {
                room -= 1;
                warnings -= usize::from(!finding.is_error());
            }
            keep
        });
        let more = before - kept.len() + left_out;
        kept.push(more_findings("the bundle".to_owned(), more));
    }
    kept
}

fn more_findings(file: String, more: usize) -> Finding {
    let cause = Cause::config(
        MORE,
        format!("{more} more findings are not shown."),
        "Correct the findings above first, then run agent check again.",
    );
    Finding { severity: Severity::Warning, file, position: None, cause, excerpt: None, stands_for: more }
}

/// Collects the findings about one file, turning byte offsets into positions.
pub(super) struct Diagnostics<'t> {
    file: String,
    text: &'t str,
    line_starts: Vec<usize>,
    /// Each with its byte offset.
    findings: Vec<(Option<usize>, Finding)>,
    counts: BTreeMap<Severity, usize>,
    /// Lines with a mistake that makes the whole line something else than was meant.
    tainted: BTreeSet<usize>,
    /// Whether other findings on such lines are consequences.
    drops_consequences: bool,
    /// The offset of the finding that was made about each subject.
    subjects: BTreeMap<String, usize>,
}

impl<'t> Diagnostics<'t> {
    /// For a file whose text is `text`; `""` where there is none.
    pub(super) fn new(file: impl Into<String>, text: &'t str) -> Self {
        let line_starts = std::iter::once(0)
            .chain(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i + 1));
        Diagnostics {
            file: file.into(),
            text,
            line_starts: line_starts.collect(),
            findings: Vec::new(),
            counts: BTreeMap::new(),
            tainted: BTreeSet::new(),
            drops_consequences: false,
            subjects: BTreeMap::new(),
        }
    }

    /// The line of a byte offset, counted from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset).max(1)
    }

    /// Where a byte offset is. An offset inside a character or past the end means the nearest place before it.
    pub(super) fn position(&self, offset: usize) -> Position {
        let line = self.line(offset);
        let start = self.line_starts.get(line - 1).copied().unwrap_or(0);
        let column = self.text.get(start..).map_or(0, |rest| {
            rest.char_indices()
                .take_while(|(at, _)| start + at < offset)
                .take_while(|(_, c)| *c != '\n')
                .count()
        });
        Position { line, column: column + 1 }
    }

    /// Marks the line of a mistake, once that has been noted, for [`Diagnostics::drop_consequences`].
    pub(super) fn taint(&mut self, offset: usize) {
        self.tainted.insert(self.line(offset));
    }

    /// From here on drops findings on lines that are [tainted](Notes::taint).
    pub(super) fn drop_consequences(&mut self) {
        self.drops_consequences = true;
    }

    pub(super) fn error(&mut self, at: impl Into<Option<usize>>, cause: Cause) {
        self.add(Severity::Error, at.into(), cause);
    }

    pub(super) fn warning(&mut self, at: impl Into<Option<usize>>, cause: Cause) {
        self.add(Severity::Warning, at.into(), cause);
    }

    pub(super) fn add(&mut self, severity: Severity, at: Option<usize>, cause: Cause) {
        let consequence = |at: usize| self.tainted.contains(&self.line(at));
        if self.drops_consequences && at.is_some_and(consequence) {
            return;
        }
        let count = self.counts.entry(severity).or_default();
        *count += 1;
        if *count > MOST {
            return;
        }
        let position = at.map(|offset| self.position(offset));
        let finding =
            Finding { severity, file: self.file.clone(), position, cause, excerpt: None, stands_for: 0 };
        self.findings.push((at, finding));
    }

    /// An error about `subject`, or, if there was one already, a mention in it that `name` is affected too.
    pub(super) fn error_once(&mut self, at: usize, subject: &str, name: &str, cause: Cause) {
        self.add_once(Severity::Error, at, subject, name, cause);
    }

    /// [`Diagnostics::error_once`] for any severity.
    pub(super) fn add_once(
        &mut self,
        severity: Severity,
        at: usize,
        subject: &str,
        name: &str,
        cause: Cause,
    ) {
        let kind = cause.kind;
        match self.subjects.get(subject).copied() {
            Some(first) if self.affects(first, kind, &[name]) => {}
            _ => {
                self.subjects.insert(subject.to_owned(), at);
                self.add(severity, Some(at), cause);
            }
        }
    }

    /// Adds to the finding of this kind at this offset that it affects `names` as well; `false` if there is none.
    pub(super) fn affects(&mut self, at: usize, kind: Kind, names: &[&str]) -> bool {
        let found = self
            .findings
            .iter_mut()
            .find(|(offset, finding)| *offset == Some(at) && finding.cause.kind == kind);
        let Some((_, finding)) = found else { return false };
        let evidence = &mut finding.cause.evidence;
        match evidence.iter_mut().find(|evidence| evidence.name == "also affects") {
            Some(evidence) if evidence.value.len() < 2000 => {
                evidence.value = format!("{}, {}", evidence.value, names.join(", "))
            }
            Some(_) => {}
            None => evidence.push(Evidence::new("also affects", names.join(", "))),
        }
        true
    }

    /// Makes an error of the finding of this kind on this line, since it affects `name`; `false` if there is none.
    pub(super) fn escalate(&mut self, line: usize, kind: Kind, name: &str) -> bool {
        let on_line = |finding: &Finding| finding.position.is_some_and(|position| position.line == line);
        let found =
            self.findings.iter_mut().find(|(_, finding)| on_line(finding) && finding.cause.kind == kind);
        let Some((Some(at), finding)) = found else { return false };
        finding.severity = Severity::Error;
        let at = *at;
        self.affects(at, kind, &[name])
    }

    /// The findings in the order of their places; what is about the whole file comes first. Of
    /// several findings of one kind at one place the first stays. The last may be a word about how many there are more.
    pub(super) fn finish(self) -> Vec<Finding> {
        let total: usize = self.counts.values().sum();
        let left_out = total - self.findings.len();
        let mut kept: Vec<Finding> = self.findings.into_iter().map(|(_, finding)| finding).collect();
        kept.sort_by(|a, b| {
            (a.position, a.severity, &a.cause.kind).cmp(&(b.position, b.severity, &b.cause.kind))
        });
        kept.dedup_by(|b, a| {
            a.position.is_some() && a.position == b.position && a.cause.kind == b.cause.kind
        });
        if left_out > 0 {
            kept.push(more_findings(self.file, left_out));
        }
        kept
    }
}
