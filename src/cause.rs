//! A failure, described in terms of what the reader can fix.
//!
//! Every failure shown to a user is a [`Cause`]: a stable kind for machines, a [`Class`] that decides policy, one plain
//! sentence, the evidence, and one next step. The class predicts the effect of replacing the instance: a `config`
//! failure recurs on the next instance, a `host` failure may not, and an `external` one is waited for.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::kind::Kind;
use crate::secret::{Secrets, url};

/// Whether replacing this instance would help with a [`Cause`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// The bundle, the agent's settings or the IAM policy must change; a replacement would fail the same way.
    Config,
    /// A problem of this box; a replacement may not have it.
    Host,
    /// A database, an AWS API or the network: waited for, since replacing the box would not help.
    External,
}

impl Class {
    /// The class as it is written in output and state files.
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Config => "config",
            Class::Host => "host",
            Class::External => "external",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One fact that supports a cause, e.g. `address` → `10.0.3.7:5432`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// What the value is, lower case, without a colon.
    pub name: Cow<'static, str>,
    /// The value, where possible as the server returned it.
    pub value: String,
    /// How the value is made fit to be shown.
    #[serde(skip)]
    words: Words,
}

/// Whose words a piece of evidence is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Words {
    /// Somebody else's.
    #[default]
    Foreign,
    /// Somebody else's, of which so many characters are shown.
    Quoted(usize),
    /// The same, of which the end is shown.
    Ending(usize),
    /// The program's own sentences.
    Own,
}

/// How much of a quotation is kept until it is shown, in bytes.
const MOST_KEPT: usize = 64 * 1024;

impl Evidence {
    /// What others said.
    pub fn new(name: &'static str, value: impl Into<String>) -> Self {
        Evidence { name: Cow::Borrowed(name), value: value.into(), words: Words::Foreign }
    }

    fn scrub(&mut self, secrets: &Secrets) {
        self.value = match self.words {
            Words::Foreign => secrets.foreign(&self.value),
            Words::Quoted(most) => shortened(&in_one_line(&secrets.foreign(&self.value)), most),
            Words::Ending(most) => ending(&secrets.foreign(&self.value), most).trim().to_owned(),
            Words::Own => secrets.own(&self.value),
        };
    }
}

fn in_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The last characters of a text.
fn ending(text: &str, most: usize) -> &str {
    let start = text.char_indices().rev().nth(most.saturating_sub(1)).map_or(0, |(at, _)| at);
    &text[start..]
}

/// The beginning of a text, with a mark where it was cut.
fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some(_) if text.ends_with('…') && text.chars().count() == most + 1 => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Why a stage or a check failed, or what it is waiting for.
///
/// Its texts are as they were found: a secret may be learnt after the cause was made. Every sink makes them fit to be
/// shown ([`Cause::scrub`]), whole, and shortens quotations only then, so that no half of a secret is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Recorded")]
pub struct Cause {
    /// Stable and machine-readable: `area.what`, e.g. `s3.access_denied`.
    pub kind: Kind,
    /// What a replacement would do about it.
    pub class: Class,
    /// What is wrong, in one plain sentence with a full stop.
    pub sentence: String,
    /// The evidence, most helpful first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
    /// The one thing to do next: a command, or the setting to change.
    pub next_step: String,
    /// The kinds of the causes that this one quotes in its evidence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quotes: Vec<Kind>,
    /// Set if a wait timed out with this cause: the time waited, in whole seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited_seconds: Option<u64>,
}

/// A cause as it stands in a record, which another version of the agent may have written.
#[derive(Deserialize)]
struct Recorded {
    kind: String,
    class: Class,
    sentence: String,
    #[serde(default)]
    evidence: Vec<Evidence>,
    next_step: String,
    #[serde(default)]
    quotes: Vec<String>,
    waited_seconds: Option<u64>,
}

impl From<Recorded> for Cause {
    fn from(recorded: Recorded) -> Cause {
        let Recorded { kind, class, sentence, evidence, next_step, quotes, waited_seconds } = recorded;
        let known = Kind::parse(&kind);
        let cause = Cause {
            kind: known.unwrap_or(Kind::CauseUnknown),
            class,
            sentence,
            evidence,
            next_step,
            quotes: quotes.iter().filter_map(|kind| Kind::parse(kind)).collect(),
            waited_seconds,
        };
        if known.is_some() { cause } else { cause.with("unknown kind", kind) }
    }
}

impl Cause {
    /// A cause of the given class, which must be one of [`Kind::classes`]. `next_step` is not optional: a failure that names
    /// no next step is not finished.
    pub fn new(class: Class, kind: Kind, sentence: impl AsRef<str>, next_step: impl AsRef<str>) -> Self {
        debug_assert!(kind.classes().contains(&class), "{kind} is not listed with the class {class}");
        Cause {
            kind,
            class,
            sentence: sentence.as_ref().to_owned(),
            evidence: Vec::new(),
            next_step: next_step.as_ref().to_owned(),
            quotes: Vec::new(),
            waited_seconds: None,
        }
    }

    /// A cause of class [`Class::Config`].
    pub fn config(kind: Kind, sentence: impl AsRef<str>, next_step: impl AsRef<str>) -> Self {
        Cause::new(Class::Config, kind, sentence, next_step)
    }

    /// A cause of class [`Class::Host`].
    pub fn host(kind: Kind, sentence: impl AsRef<str>, next_step: impl AsRef<str>) -> Self {
        Cause::new(Class::Host, kind, sentence, next_step)
    }

    /// A cause of class [`Class::External`].
    pub fn external(kind: Kind, sentence: impl AsRef<str>, next_step: impl AsRef<str>) -> Self {
        Cause::new(Class::External, kind, sentence, next_step)
    }

    /// Adds one piece of evidence.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.evidence.push(Evidence::new(name, value.to_string()));
        self
    }

    /// Adds an address, without what may be secret in it.
    #[must_use]
    pub fn with_url(self, name: &'static str, address: &str) -> Self {
        self.with(name, url::shown(address))
    }

    /// Adds the beginning of what others said, `most` characters of it in one line. To be given whole: what is cut before it is
    /// scrubbed may end in half a secret, which nobody knows.
    #[must_use]
    pub fn with_quote(mut self, name: &'static str, said: &str, most: usize) -> Self {
        let end = (0..=MOST_KEPT.min(said.len())).rev().find(|end| said.is_char_boundary(*end)).unwrap_or(0);
        let words = Words::Quoted(most);
        self.evidence.push(Evidence { words, ..Evidence::new(name, said[..end].trim_end()) });
        self
    }

    /// Adds the end of what others said, `most` characters of it. To be given whole, as for [`Cause::with_quote`].
    #[must_use]
    pub fn with_ending(mut self, name: &'static str, said: &str, most: usize) -> Self {
        let words = Words::Ending(most);
        self.evidence.push(Evidence { words, ..Evidence::new(name, ending(said, MOST_KEPT)) });
        self
    }

    /// Adds a sentence of this program's own as evidence, such as another cause.
    #[must_use]
    pub fn with_sentence(mut self, name: &'static str, sentence: impl fmt::Display) -> Self {
        self.evidence.push(Evidence { words: Words::Own, ..Evidence::new(name, sentence.to_string()) });
        self
    }

    /// Adds another cause as one piece of evidence, e.g. what a boot waited for when its time ran out.
    #[must_use]
    pub fn quoting(mut self, name: &'static str, other: &Cause) -> Self {
        self.quotes.extend(other.kinds());
        self.with_sentence(name, other)
    }

    /// Its kind and those of the causes that it quotes.
    pub fn kinds(&self) -> impl Iterator<Item = Kind> {
        std::iter::once(self.kind).chain(self.quotes.iter().copied())
    }

    /// Adds an error and everything that caused it, as the evidence `error`.
    #[must_use]
    pub fn with_error(self, error: &(dyn std::error::Error + 'static)) -> Self {
        self.with("error", chain(error))
    }

    /// Combines several causes found at the same time, naming each. A `config` cause, if any, decides class and kind,
    /// since waiting for the others would not help. `causes` must not be empty.
    pub fn together(mut causes: Vec<Cause>) -> Cause {
        let leading = causes.iter().position(|cause| cause.class == Class::Config).unwrap_or(0);
        if causes.is_empty() {
            return Cause::host(
                Kind::CauseUnknown,
                "An operation failed without reporting a cause.",
                "Check the journal: journalctl -u boot-agent.",
            );
        }
        let mut whole = causes.remove(leading);
        for other in causes {
            whole = whole.quoting("also", &other);
            whole.evidence.extend(other.evidence);
            if other.next_step != whole.next_step {
                whole.next_step = format!("{} {}", whole.next_step, other.next_step);
            }
        }
        whole
    }

    /// Makes every text fit to be shown: without secrets and control characters, quotations shortened. A second time
    /// changes nothing.
    pub fn scrub(&mut self, secrets: &Secrets) {
        self.sentence = secrets.own(&self.sentence);
        self.next_step = secrets.own(&self.next_step);
        self.evidence.iter_mut().for_each(|item| item.scrub(secrets));
    }

    /// [`Cause::scrub`], of a copy.
    #[must_use]
    pub fn scrubbed(&self, secrets: &Secrets) -> Cause {
        let mut cause = self.clone();
        cause.scrub(secrets);
        cause
    }

    /// Marks that a wait timed out with this cause, which is reported with exit code 3.
    #[must_use]
    pub fn after_waiting(mut self, waited: Duration) -> Self {
        self.waited_seconds = Some(waited.as_secs());
        self
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}, {}]", self.sentence, self.kind, self.class)
    }
}

impl std::error::Error for Cause {}

/// An error with its sources in one line, leaving out a source that its parent's text already quotes.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        source = inner.source();
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn survives_the_state_file() {
        let cause = Cause::external(Kind::DnsTimeout, "No DNS server answered.", "Look at /etc/resolv.conf.")
            .with("server", "10.0.0.2:53")
            .after_waiting(Duration::from_secs(90));
        let text = serde_json::to_string(&cause).unwrap();
        assert_eq!(serde_json::from_str::<Cause>(&text).unwrap(), cause);
        assert!(text.contains(r#""class":"external""#), "{text}");
    }

    #[test]
    fn a_quoted_cause_leaves_its_kind() {
        let of = |kind: Kind| Cause::new(kind.classes()[0], kind, "It failed.", "Mend it.");
        let several = Cause::together(vec![
            of(Kind::TcpTimeout),
            of(Kind::PostgresPasswordRejected),
            of(Kind::DnsTimeout),
        ]);
        let late = of(Kind::BootDeadline).quoting("waited for", &several);
        let expected =
            [Kind::BootDeadline, Kind::PostgresPasswordRejected, Kind::TcpTimeout, Kind::DnsTimeout];
        let text = serde_json::to_string(&late).unwrap();
        for cause in [&late, &serde_json::from_str(&text).unwrap()] {
            assert_eq!(cause.kinds().collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn an_error_chain_says_each_thing_once() {
        #[derive(Debug)]
        struct Outer(std::io::Error);
        impl fmt::Display for Outer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("cannot read")
            }
        }
        impl std::error::Error for Outer {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                Some(&self.0)
            }
        }
        let error = Outer(std::io::Error::other("disk gone"));
        assert_eq!(chain(&error), "cannot read: disk gone");
    }
}
