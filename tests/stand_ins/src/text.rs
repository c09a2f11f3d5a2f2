//! The small grammar in which faults are written: on the command line, and to a running server's control path.

use std::time::Duration;

/// Splits `name=argument`.
pub(crate) fn split(text: &str) -> (&str, Option<&str>) {
    match text.split_once('=') {
        Some((name, argument)) => (name.trim(), Some(argument.trim())),
        None => (text.trim(), None),
    }
}

/// The argument, or a sentence that says it is missing.
pub(crate) fn needed<'a>(name: &str, argument: Option<&'a str>) -> Result<&'a str, String> {
    argument.filter(|text| !text.is_empty()).ok_or_else(|| format!("{name} needs an argument: {name}=…"))
}

/// Seconds with a fraction, with or without `s`; or milliseconds with `ms`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 0.001),
        None => (text.strip_suffix('s').unwrap_or(text), 1.0),
    };
    let seconds: f64 = number.trim().parse().map_err(|_| format!("not a duration: {text}"))?;
    Duration::try_from_secs_f64(seconds * unit).map_err(|_| format!("not a duration: {text}"))
}

/// A count of requests.
pub(crate) fn count(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("not a number: {text}"))
}

/// Escapes what XML text must not hold.
pub(crate) fn xml(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}
