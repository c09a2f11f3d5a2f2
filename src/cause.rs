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
use crate::secret;

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
}

/// Why a stage or a check failed, or what it is waiting for.
///
/// Every text is scrubbed on the way in ([`secret::scrub`]), and by every sink on the way out ([`Cause::scrub`]), since
/// a secret may become known after the cause was created.
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
    waited_seconds: Option<u64>,
}

impl From<Recorded> for Cause {
    fn from(recorded: Recorded) -> Cause {
        let Recorded { kind, class, sentence, evidence, next_step, waited_seconds } = recorded;
        let known = Kind::parse(&kind);
        let cause = Cause {
            kind: known.unwrap_or(Kind::CauseUnknown),
            class,
            sentence,
            evidence,
            next_step,
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
            sentence: secret::scrub(sentence.as_ref()).into_owned(),
            evidence: Vec::new(),
            next_step: secret::scrub(next_step.as_ref()).into_owned(),
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
        self.evidence.push(Evidence {
            name: Cow::Borrowed(name),
            value: secret::scrub(&value.to_string()).into_owned(),
        });
        self
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
            whole.evidence.push(Evidence {
                name: Cow::Borrowed("also"),
                value: format!("{} [{}, {}]", other.sentence, other.kind, other.class),
            });
            whole.evidence.extend(other.evidence);
            if other.next_step != whole.next_step {
                whole.next_step = format!("{} {}", whole.next_step, other.next_step);
            }
        }
        whole
    }

    /// Scrubs every text again: a secret may have become known after this cause was created.
    pub fn scrub(&mut self) {
        let texts = [&mut self.sentence, &mut self.next_step];
        for text in texts.into_iter().chain(self.evidence.iter_mut().map(|item| &mut item.value)) {
            if let Cow::Owned(clean) = secret::scrub(text) {
                *text = clean;
            }
        }
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
