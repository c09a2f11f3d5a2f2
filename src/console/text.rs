//! Formats causes as text blocks, for results on standard output. Lines are unwrapped: [`super::layout`] wraps them
//! when printing.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::time::Duration;

use super::layout::HANG;
use crate::cause::Cause;

/// The minimum and maximum width of the evidence name column; longer names shift their line.
const NAME_WIDTH: std::ops::RangeInclusive<usize> = 9..=30;

/// A cause with its evidence, its next step and how to have it explained, several lines, indented under a sign.
pub fn cause(cause: &Cause) -> String {
    cause_with(cause, &[("more", cause.kind.ask())])
}

/// [`cause`], with more facts below the next step.
pub fn cause_with(cause: &Cause, more: &[(&str, String)]) -> String {
    format!("{} {HANG}{}\n{}", red("✗"), cause.sentence, details(cause, more))
}

/// As [`cause`] without how to have it explained, for something that is not as it should be and did not stop anything.
pub fn warning(cause: &Cause) -> String {
    warning_with(cause, &[])
}

/// [`warning`], with more facts below the next step.
pub fn warning_with(cause: &Cause, more: &[(&str, String)]) -> String {
    format!("{} {HANG}{}\n{}", yellow("!"), cause.sentence, details(cause, more))
}

fn details(cause: &Cause, more: &[(&str, String)]) -> String {
    let mut all = vec![("kind", format!("{} ({})", cause.kind, cause.class))];
    all.extend(cause.evidence.iter().map(|item| (item.name.as_ref(), item.value.clone())));
    all.extend(
        cause.waited_seconds.map(|seconds| ("waited", super::event::human(Duration::from_secs(seconds)))),
    );
    all.push(("next step", cause.next_step.clone()));
    all.extend(more.iter().cloned());
    facts(&all)
}

/// The kind of a cause and its evidence, below a line that says the rest.
pub fn evidence(cause: &Cause) -> String {
    let mut all = vec![("kind", format!("{} ({})", cause.kind, cause.class))];
    all.extend(cause.evidence.iter().map(|item| (item.name.as_ref(), item.value.clone())));
    facts(&all)
}

/// Named facts below a line, in one column each, in as many lines as their values have.
pub fn facts(facts: &[(&str, String)]) -> String {
    let longest = facts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    let width = longest.clamp(*NAME_WIDTH.start(), *NAME_WIDTH.end());
    let mut text = String::new();
    for (name, value) in facts {
        let mut lines = value.lines();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "    {name:<width$} {HANG}{}", lines.next().unwrap_or(""));
        for line in lines {
            let _ = writeln!(text, "    {:<width$} {HANG}{line}", "");
        }
    }
    text
}

/// Text in green, if standard output shows colour.
pub fn green(text: &str) -> String {
    painted("32", text)
}

/// Text in red, if standard output shows colour.
pub fn red(text: &str) -> String {
    painted("31", text)
}

/// Text in yellow, if standard output shows colour.
pub fn yellow(text: &str) -> String {
    painted("33", text)
}

/// Faint text, if standard output shows colour.
pub fn faint(text: &str) -> String {
    painted("2", text)
}

fn painted(code: &str, text: &str) -> String {
    if std::io::stdout().is_terminal() && super::colour() {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}
