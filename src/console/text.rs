//! Causes as blocks of text, for results on standard output.

use std::fmt::Write as _;
use std::io::IsTerminal;

use crate::cause::Cause;

/// How wide the column of evidence names is.
const NAME_WIDTH: usize = 12;

/// A cause with its evidence and next step, several lines, indented under a sign.
pub fn cause(cause: &Cause) -> String {
    let mut text = format!("{} {}\n", red("✗"), cause.sentence);
    details(&mut text, cause);
    text
}

/// As [`cause`], for something that is not as it should be and did not stop anything.
pub fn warning(cause: &Cause) -> String {
    let mut text = format!("{} {}\n", yellow("!"), cause.sentence);
    details(&mut text, cause);
    text
}

fn details(text: &mut String, cause: &Cause) {
    text.push_str(&detail("kind", &format!("{} ({})", cause.kind, cause.class)));
    for item in &cause.evidence {
        text.push_str(&detail(&item.name, &item.value));
    }
    if let Some(seconds) = cause.waited_seconds {
        text.push_str(&detail("waited", &super::human(std::time::Duration::from_secs(seconds))));
    }
    text.push_str(&detail("next step", &cause.next_step));
}

/// One named fact below a cause, in as many lines as its value has.
pub fn detail(name: &str, value: &str) -> String {
    let mut text = String::new();
    let mut lines = value.lines();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "    {name:<NAME_WIDTH$} {}", lines.next().unwrap_or(""));
    for line in lines {
        let _ = writeln!(text, "    {:<NAME_WIDTH$} {line}", "");
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
