//! The server's version, and whether the app's driver supports it.

use std::fmt;
use std::ops::RangeInclusive;

use super::bson::Document;
use super::hello::Member;
use crate::cause::Cause;
use crate::kind::Kind;

/// A server's version.
#[derive(Debug)]
pub(super) struct Version {
    words: String,
    wire: i64,
}

/// The first and the last release of each wire version that had one.
const RELEASES: [(i64, &str); 10] = [
    (4, "3.2"),
    (5, "3.4"),
    (6, "3.6"),
    (7, "4.0"),
    (8, "4.2"),
    (9, "4.4"),
    (13, "5.0"),
    (17, "6.0"),
    (21, "7.0"),
    (25, "8.0"),
];

/// The wire versions of MongoDB 3.2 and 3.6, the oldest and the newest that CircleCI documents.
const DOCUMENTED: RangeInclusive<i64> = 4..=6;

/// The wire version of MongoDB 5.1, which removed the OP_QUERY commands that drivers of 3.2's era use.
const WITHOUT_OLD_COMMANDS: i64 = 14;

/// Queries the version, falling back to the wire version.
pub(super) async fn ask(member: &mut Member) -> Version {
    let wire = member.hello.wire_version;
    let said = member.wire.command("admin", Document::new().with("buildInfo", 1)).await;
    let words = said
        .ok()
        .and_then(|reply| reply.text("version").filter(|version| version.len() <= 40).map(str::to_owned));
    let known =
        || RELEASES.iter().rev().find(|(first, _)| *first <= wire).map_or("before 3.2", |(_, name)| name);
    Version { words: words.unwrap_or_else(|| known().to_owned()), wire }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MongoDB {}; CircleCI documents 3.2 to 3.6", self.words)
    }
}

impl Version {
    /// The warning about a version that the app's driver may not support.
    pub(super) fn advice(&self) -> Option<Cause> {
        let version = &self.words;
        let sentence = if DOCUMENTED.contains(&self.wire) {
            return None;
        } else if self.wire < *DOCUMENTED.start() {
            format!("The server runs MongoDB {version}, older than 3.2, the oldest that CircleCI documents.")
        } else if self.wire >= WITHOUT_OLD_COMMANDS {
            format!(
                "The server runs MongoDB {version}, newer than 3.6, the newest that CircleCI documents; from 5.1 on, it rejects the commands of drivers of that era."
            )
        } else {
            format!(
                "The server runs MongoDB {version}, newer than 3.6, the newest that CircleCI documents; it still accepts the commands of drivers of that era."
            )
        };
        let next_step =
            "Ask CircleCI whether your release supports this version; 3.2.11 and 3.6.6 are documented.";
        Some(Cause::config(Kind::MongoVersion, sentence, next_step))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_advised_about_unless_it_is_documented() {
        let advice = |wire: i64| Version { words: "x".to_owned(), wire }.advice();
        for documented in [4, 5, 6] {
            assert_eq!(advice(documented), None, "{documented}");
        }
        for (wire, said) in [
            (3, "older than 3.2"),
            (7, "still accepts"),
            (13, "still accepts"),
            (14, "rejects"),
            (25, "rejects"),
        ] {
            let cause = advice(wire).unwrap();
            assert!(cause.sentence.contains(said), "{wire}: {cause:?}");
        }
    }
}
