//! Plain lines on standard error, one per event, for logs, pipes, cloud-init and terminals without cursor control.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use jiff::Timestamp;

use super::event::{Event, Level, Renderer, StageOutcome, Verbosity, human};
use super::layout::Screen;
use crate::cause::Cause;

pub(super) struct Lines {
    verbosity: Verbosity,
    /// Whether each line begins with the time, which nobody else gives it.
    dated: bool,
}

impl Lines {
    pub(super) fn new(verbosity: Verbosity, dated: bool) -> Self {
        Lines { verbosity, dated }
    }
}

impl Renderer for Lines {
    fn show(&self, event: &Event) {
        let Some(text) = self.line(event) else { return };
        let time = if self.dated { format!("{:.0} ", Timestamp::now()) } else { String::new() };
        let line = Screen::stderr().show(&format!("{time}{text}\n"));
        // Standard error may be closed; that must not abort a boot.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }
}

impl Lines {
    fn line(&self, event: &Event) -> Option<String> {
        let normal = self.verbosity >= Verbosity::Normal;
        match event {
            Event::Started { stage } if normal => Some(format!("{stage:<10} started")),
            Event::Waiting { stage, cause, waited } if normal => {
                Some(format!("{stage:<10} waiting ({}): {}", human(*waited), in_one_line(cause)))
            }
            Event::Progress { stage, text, .. } if normal => Some(format!("{stage:<10} {text}")),
            Event::Output { stage, line } if normal => Some(format!("{stage:<10} | {line}")),
            Event::Ended { stage, outcome, elapsed, detail, cause } => {
                ended(stage, *outcome, *elapsed, detail, cause.as_ref())
                    .filter(|_| normal || *outcome == StageOutcome::Failed)
            }
            Event::Note { stage, level, text, cause } => {
                let shown = match level {
                    Level::Detail => self.verbosity >= Verbosity::Verbose,
                    Level::Info => normal,
                    Level::Warning => true,
                };
                shown.then(|| note(stage.unwrap_or(""), *level, text, cause.as_ref()))
            }
            _ => None,
        }
    }
}

pub(super) fn note(stage: &str, level: Level, text: &str, cause: Option<&Cause>) -> String {
    let mut line = if stage.is_empty() { String::new() } else { format!("{stage:<10} ") };
    if level == Level::Warning {
        line.push_str("warning: ");
    }
    line.push_str(text);
    if let Some(cause) = cause {
        if !text.is_empty() {
            line.push(' ');
        }
        line.push_str(&in_one_line(cause));
    }
    line
}

fn ended(
    stage: &str,
    outcome: StageOutcome,
    elapsed: Duration,
    detail: &str,
    cause: Option<&Cause>,
) -> Option<String> {
    let word = match outcome {
        StageOutcome::Running => return None,
        StageOutcome::Done => "done",
        StageOutcome::Skipped => "skipped",
        StageOutcome::Failed => "FAILED",
        StageOutcome::Interrupted => "interrupted",
    };
    let mut line = format!("{stage:<10} {word} after {}", human(elapsed));
    if !detail.is_empty() {
        let _ = write!(line, ": {detail}");
    }
    if let Some(cause) = cause {
        let _ = write!(line, ": {}; more: {}", in_one_line(cause), cause.kind.ask());
    }
    Some(line)
}

/// A cause with its evidence and next step in one line.
pub fn in_one_line(cause: &Cause) -> String {
    let mut line = cause.to_string();
    for item in &cause.evidence {
        let value = item.value.lines().map(str::trim).collect::<Vec<_>>().join(" / ");
        let _ = write!(line, "; {}: {value}", item.name);
    }
    let _ = write!(line, "; next: {}", cause.next_step);
    line
}
