//! Redacts everything collected, and records what was redacted where.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::patterns::PatternSet;
use crate::cause::Cause;
use crate::kind::Kind;
use crate::secret::{REDACTED, Secrets, visible};

/// How a manifest calls a secret that was known as a literal.
pub(super) const KNOWN: &str = "known secret";

/// How every marker begins.
pub(super) const MARKER: &str = "[redacted";

/// What stands where a pattern of this class took something.
pub(super) fn marker(class: &str) -> String {
    format!("{MARKER}: {class}]")
}

/// The redactions of one class in one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Redactions {
    /// `known secret`, or the name of a pattern.
    pub(super) class: String,
    /// `literal` or `pattern`: whether the secret was known, or only looked like one.
    pub(super) by: &'static str,
    pub(super) count: usize,
    /// Lines of the file, counted from 1; several in one line stand once.
    pub(super) lines: Vec<usize>,
}

/// A text without secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Clean {
    pub(super) text: String,
    pub(super) redactions: Vec<Redactions>,
    /// How many of them stood there already: whoever wrote the text had taken a secret out.
    pub(super) earlier: usize,
}

/// Cleans what was collected: known secrets first, since they are certain, then what looks like one.
pub(super) struct Redactor<'s> {
    pub(super) secrets: &'s Secrets,
    pub(super) net: PatternSet,
}

impl Redactor<'_> {
    /// What others wrote.
    pub(super) fn text(&self, raw: &str) -> Clean {
        finished(self.cleaned(raw), raw.matches(REDACTED).count())
    }

    /// The same for a JSON value, which stays JSON: a number that is a secret becomes a string.
    pub(super) fn json(&self, mut value: Value) -> Clean {
        let earlier = value.to_string().matches(REDACTED).count();
        self.clean_json(&mut value);
        finished(format!("{value:#}\n"), earlier)
    }

    /// What this program wrote, and has scrubbed.
    pub(super) fn own(&self, text: String) -> Clean {
        finished(text, 0)
    }

    /// Part of what this program wrote that is a quotation of others.
    pub(super) fn quotation(&self, text: &mut String) {
        *text = self.cleaned(text);
    }

    fn cleaned(&self, raw: &str) -> String {
        // A secret may hold a control character, or be split by one: it is looked for before and after they go.
        let known = self.secrets.scrub(raw);
        let plain = without_controls(&known);
        visible(&self.net.catch(&self.secrets.scrub(&plain))).into_owned()
    }

    fn clean_json(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.cleaned(text),
            Value::Number(number) if self.secrets.is_in(&number.to_string()) => {
                *value = Value::String(REDACTED.to_owned());
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.clean_json(item)),
            Value::Object(members) => {
                let renamed = std::mem::take(members).into_iter();
                members.extend(renamed.map(|(key, mut inner)| {
                    self.clean_json(&mut inner);
                    (self.secrets.scrub(&key).into_owned(), inner)
                }));
            }
            _ => {}
        }
    }

    /// Whether no known secret is in what will be sent.
    ///
    /// # Errors
    /// `support.unclean` (host), naming the file and nothing else.
    pub(super) fn verify(&self, file: &str, text: &str, is_own: bool) -> Result<(), Cause> {
        let is_clean =
            if is_own { self.secrets.own(text) == visible(text) } else { !self.secrets.is_in(text) };
        if is_clean {
            return Ok(());
        }
        Err(Cause::host(
            Kind::SupportUnclean,
            "The support bundle still contained a secret after scrubbing, so nothing was written.",
            "Report this as a bug, without the bundle; attach the output of agent probe --output json.",
        )
        .with("file in the bundle", file))
    }
}

/// Escape sequences are useless in a file, and may be harmful on a reader's terminal.
fn without_controls(text: &str) -> Cow<'_, str> {
    let is_unwanted = |c: char| c.is_control() && !matches!(c, '\n' | '\t' | '\r');
    if !text.contains(is_unwanted) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' && chars.peek() == Some(&'[') {
            chars.next();
            while chars.peek().is_some_and(|c| matches!(c, ' '..='?')) {
                chars.next();
            }
            chars.next_if(|c| matches!(c, '@'..='~'));
        } else if !is_unwanted(c) {
            plain.push(c);
        }
    }
    Cow::Owned(plain)
}

fn finished(text: String, earlier: usize) -> Clean {
    let mut found: BTreeMap<String, (usize, Vec<usize>)> = BTreeMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        for place in markers(line) {
            let class = line[place].trim_start_matches(MARKER).trim_start_matches(": ").trim_end_matches(']');
            let class = if class.is_empty() { KNOWN } else { class };
            let (count, lines) = found.entry(class.to_owned()).or_default();
            *count += 1;
            if lines.last() != Some(&number) {
                lines.push(number);
            }
        }
    }
    let redactions = found.into_iter().map(|(class, (count, lines))| {
        let by = if class == KNOWN { "literal" } else { "pattern" };
        Redactions { class, by, count, lines }
    });
    Clean { redactions: redactions.collect(), text, earlier }
}

/// Where markers stand in a line.
fn markers(text: &str) -> impl Iterator<Item = std::ops::Range<usize>> {
    text.match_indices(MARKER).filter_map(|(start, _)| {
        let end = start + text[start..].find(']')? + 1;
        Some(start..end)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn count(clean: &Clean) -> usize {
        clean.redactions.iter().map(|of_class| of_class.count).sum()
    }

    fn knowing(secrets: &[&str]) -> Secrets {
        let known = Secrets::default();
        known.register_all(secrets.iter().copied());
        known
    }

    fn redactor(secrets: &Secrets) -> Redactor<'_> {
        Redactor { secrets, net: PatternSet::new().unwrap() }
    }

    #[test]
    fn each_redaction_is_counted_with_its_line_and_class() {
        let secrets = knowing(&["redact-canary"]);
        let raw = "one\nredact-canary and redact-canary\nX_TOKEN=unknown-thing\nwas [redacted] before\n";
        let clean = redactor(&secrets).text(raw);
        assert_eq!(clean.text.matches(MARKER).count(), count(&clean));
        assert_eq!(clean.earlier, 1);
        let known = clean.redactions.iter().find(|of_class| of_class.class == KNOWN).unwrap();
        assert_eq!((known.count, known.lines.as_slice(), known.by), (3, &[2, 4][..], "literal"));
        let named = clean.redactions.iter().find(|of_class| of_class.by == "pattern").unwrap();
        assert_eq!((named.count, named.lines.as_slice()), (1, &[3][..]));
    }

    #[test]
    fn json_stays_json_with_secrets_in_keys_numbers_and_strings() {
        let secrets = knowing(&["json-key-canary", "918273645"]);
        let redactor = redactor(&secrets);
        let value = serde_json::json!({"json-key-canary": 918273645, "a": [1, "x json-key-canary"], "n": 9182736450u64});
        let clean = redactor.json(value);
        let read: Value = serde_json::from_str(&clean.text).unwrap();
        assert_eq!(read["a"][1], "x [redacted]");
        assert_eq!(read["[redacted]"], "[redacted]");
        assert!(redactor.verify("x", &clean.text, false).is_ok());
        assert_eq!(count(&clean), 4);
    }

    #[test]
    fn colours_cannot_hide_a_secret() {
        let secrets = knowing(&["coloured-canary"]);
        let clean = redactor(&secrets).text("a \u{1b}[1;31mcoloured\u{1b}[0m-canary\u{7} b\n");
        assert_eq!(clean.text, "a [redacted] b\n");
    }

    #[test]
    fn what_was_missed_is_found_and_a_secret_that_is_a_word_of_the_marker_is_not() {
        let secrets = knowing(&["missed-canary", "redacted"]);
        let verify = |text| redactor(&secrets).verify("x", text, false);
        assert_eq!(verify("a missed-canary").unwrap_err().kind, Kind::SupportUnclean);
        assert!(verify("a [redacted] and [redacted: cookie]").is_ok());
        assert!(verify("it was redacted").is_err());
    }
}
