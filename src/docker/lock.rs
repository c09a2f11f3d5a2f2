//! `images.lock`: each image that was pulled when the box was baked, with its id and digest, and the pinned installer.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::reference::{Digest, Reference};
use crate::cause::Cause;
use crate::files::{self, ReadError};
use crate::kind::Kind;

/// Where the lock lies, under the root.
pub const FILE: &str = "/etc/boot-agent/images.lock";

/// What stands above it, for whoever finds it in git.
const HEADING: &str =
    "# Written by agent bake from images.toml: what was pulled, sorted. Review it; do not edit it.\n\n";

/// The version of the format that this program writes.
const VERSION: u32 = 2;

/// The most bytes that a lock may have: one of 1000 images has a quarter of a megabyte.
const LARGEST: usize = 4 * 1024 * 1024;

/// The versions that it reads. Version 1 knew neither the operator's script nor the installer's version and arguments.
const READ: std::ops::RangeInclusive<u32> = 1..=VERSION;

const NEXT_STEP: &str = "Recreate the lock with agent bake, or correct the line.";

/// What was pre-pulled; see [`Lock::parse`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    version: u32,
    /// The pinned installer, if one was fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installer: Option<LockedInstaller>,
    /// The images, sorted by reference.
    #[serde(default, rename = "image", skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<LockedImage>,
}

/// The installer as it was fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedInstaller {
    /// Where it came from.
    pub url: String,
    /// The SHA-256 of the file.
    pub sha256: Sha256,
    /// The version of Replicated that it installs, as the script itself states it. `None` in a lock of version 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The arguments that this edition of the script accepts. Empty in a lock of version 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments_known: Vec<String>,
    /// The operator's script, which the installer downloads and runs. `None` in a lock of version 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<LockedOperator>,
}

/// The operator's script as it was fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedOperator {
    /// The URL from which the installer would download it.
    pub url: String,
    /// The SHA-256 of the file.
    pub sha256: Sha256,
}

/// One image of the lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedImage {
    /// The name under which it must be present.
    pub reference: Reference,
    /// What it is pulled by. An image that was loaded from a file has none, and cannot be pulled again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// The id that the engine must show for it.
    pub id: Digest,
    /// Its size in bytes, unpacked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// The name and tag under which Replicated looks it up in its own registry: it is tagged
    /// `<address of this instance>:9874/<alias>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<Reference>,
}

/// A SHA-256 as `sha256sum` prints it: 64 hexadecimal digits, here in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha256(String);

impl Sha256 {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Sha256 {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let digits = text.strip_prefix("sha256:").unwrap_or(&text).to_ascii_lowercase();
        match format!("sha256:{digits}").parse::<Digest>() {
            Ok(_) => Ok(Sha256(digits)),
            Err(_) => Err(format!("{text:?} is not a SHA-256: 64 hexadecimal digits are expected")),
        }
    }
}

impl From<Sha256> for String {
    fn from(sum: Sha256) -> String {
        sum.0
    }
}

impl Lock {
    /// A lock of these images, in stable order.
    pub fn new(installer: Option<LockedInstaller>, mut images: Vec<LockedImage>) -> Self {
        images.sort_by(|a, b| a.reference.cmp(&b.reference));
        Lock { version: VERSION, installer, images }
    }

    /// Reads a lock.
    ///
    /// # Errors
    /// `lock.syntax`, `lock.unknown_key`, `lock.value`, `lock.version` and `lock.duplicate`, all of class config and
    /// with the line, since every instance of this AMI carries the same file.
    pub fn parse(text: &str) -> Result<Self, Cause> {
        let read: Result<Lock, _> = toml::from_str(text);
        // The version is told first: a later format must not be reported as a page of unknown keys.
        let found = match &read {
            Ok(lock) => Some(i64::from(lock.version)),
            Err(_) => text
                .parse::<toml::Table>()
                .ok()
                .and_then(|table| table.get("version").and_then(toml::Value::as_integer)),
        };
        if let Some(found) = found
            && !u32::try_from(found).is_ok_and(|found| READ.contains(&found))
        {
            return Err(Cause::config(
                Kind::LockVersion,
                format!("The image lock has version {found}; this agent supports versions 1 to {VERSION}."),
                "Recreate the lock with the installed agent: agent bake.",
            ));
        }
        let mut lock = read.map_err(|error| unreadable(text, &error))?;
        lock.version = VERSION;
        lock.refuse_duplicates()?;
        lock.images.sort_by(|a, b| a.reference.cmp(&b.reference));
        Ok(lock)
    }

    /// Reads the lock in `file`; `None` if there is no such file, since a box may have been baked without one.
    ///
    /// # Errors
    /// As for [`Lock::parse`], and `host.file` if the file is there and cannot be read.
    pub fn read(file: &Path) -> Result<Option<Self>, Cause> {
        match files::read_trusted(file, LARGEST) {
            Ok(text) => match Lock::parse(&String::from_utf8_lossy(&text)) {
                Ok(lock) => Ok(Some(lock)),
                Err(cause) => Err(cause.with("file", file.display())),
            },
            Err(ReadError::NotFound) => Ok(None),
            Err(error) => Err(error.cause(file)),
        }
    }

    /// The text of the lock. What is written is read back equal.
    ///
    /// # Errors
    /// `lock.value`, if a string in it cannot be written as TOML.
    pub fn to_text(&self) -> Result<String, Cause> {
        let text = toml::to_string(self).map_err(|error| {
            Cause::config(Kind::LockValue, "The image lock cannot be serialized as TOML.", NEXT_STEP)
                .with_error(&error)
        })?;
        Ok(format!("{HEADING}{text}"))
    }

    /// What is different in `self`, one line each in order: `added`, `removed`, `changed` and the name.
    pub fn changes_since(&self, older: &Lock) -> Vec<String> {
        let of = |lock: &Lock, name: &Reference| {
            lock.images.iter().find(|image| image.reference == *name).cloned()
        };
        let names: BTreeSet<&Reference> =
            self.images.iter().chain(&older.images).map(|image| &image.reference).collect();
        let mut changes: Vec<String> = names
            .into_iter()
            .filter_map(|name| match (of(older, name), of(self, name)) {
                (None, _) => Some(format!("added {name}")),
                (_, None) => Some(format!("removed {name}")),
                (then, now) => (then != now).then(|| format!("changed {name}")),
            })
            .collect();
        if self.installer != older.installer {
            changes.push("changed the installer".to_owned());
        }
        changes
    }

    fn refuse_duplicates(&self) -> Result<(), Cause> {
        let mut names: BTreeMap<(&str, String), &Digest> = BTreeMap::new();
        for image in &self.images {
            let alias = image.alias.iter().map(|alias| ("alias", alias.to_string()));
            for (key, name) in [("reference", image.reference.to_string())].into_iter().chain(alias) {
                if names.insert((key, name.clone()), &image.id).is_some() {
                    return Err(Cause::config(
                        Kind::LockDuplicate,
                        format!("The image lock lists two images with the {key} {name}."),
                        NEXT_STEP,
                    )
                    .with(key, name));
                }
            }
        }
        Ok(())
    }
}

fn unreadable(text: &str, error: &toml::de::Error) -> Cause {
    let words = error.message();
    let (kind, sentence) = if words.starts_with("unknown field") {
        (Kind::LockUnknownKey, "The image lock has a key that this agent does not support")
    } else if text.parse::<toml::Table>().is_ok() {
        (Kind::LockValue, "The image lock has a missing or invalid value")
    } else {
        (Kind::LockSyntax, "The image lock is not valid TOML")
    };
    let line = error.span().map(|span| 1 + text[..span.start.min(text.len())].matches('\n').count());
    let place = line.map_or_else(String::new, |line| format!(", line {line}"));
    let cause = Cause::config(kind, format!("{sentence}{place}: {words}."), NEXT_STEP);
    match line {
        Some(line) => cause.with("line", line),
        None => cause,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn digest(digit: char) -> String {
        format!("sha256:{}", digit.to_string().repeat(64))
    }

    fn image(more: &str) -> String {
        format!("version = 1\n\n[[image]]\nreference = \"a:1\"\nid = \"{}\"\n{more}", digest('1'))
    }

    #[test]
    fn a_lock_is_read() {
        let text = format!(
            "version = 1\n[installer]\nurl = \"https://get.replicated.com/docker\"\nsha256 = \"{}\"\n\
             [[image]]\nreference = \"quay.io/b:1\"\ndigest = \"{}\"\nid = \"{}\"\nsize = 7\nalias = \"b:1\"\n\
             [[image]]\nreference = \"a\"\nid = \"{}\"\n",
            "AB".repeat(32),
            digest('2'),
            digest('3'),
            digest('4')
        );
        let lock = Lock::parse(&text).unwrap();
        let installer = lock.installer.as_ref().unwrap();
        assert_eq!(installer.sha256.as_str(), "ab".repeat(32));
        assert_eq!((&installer.version, &installer.operator), (&None, &None));
        let names: Vec<String> = lock.images.iter().map(|image| image.reference.to_string()).collect();
        assert_eq!(names, ["a:latest", "quay.io/b:1"]);
        assert_eq!(Lock::parse(&lock.to_text().unwrap()).unwrap(), lock);
    }

    #[test]
    fn a_lock_names_both_scripts() {
        let sum = "ab".repeat(32);
        let text = format!(
            "version = 2\n[installer]\nurl = \"https://a/docker\"\nsha256 = \"{sum}\"\nversion = \"2.38.6\"\n\
             arguments_known = [\"no-proxy\"]\n[installer.operator]\nurl = \"https://a/operator\"\nsha256 = \"{sum}\"\n"
        );
        let lock = Lock::parse(&text).unwrap();
        let installer = lock.installer.as_ref().unwrap();
        assert_eq!(installer.version.as_deref(), Some("2.38.6"));
        assert_eq!(installer.arguments_known, ["no-proxy"]);
        assert_eq!(installer.operator.as_ref().unwrap().url, "https://a/operator");
        assert_eq!(Lock::parse(&lock.to_text().unwrap()).unwrap(), lock);
    }

    #[test]
    fn each_mistake_has_its_kind_and_its_line() {
        for (text, kind, line) in [
            ("version = \n".to_owned(), Kind::LockSyntax, Some("1")),
            ("version = 3\nnew_key = 1\n".to_owned(), Kind::LockVersion, None),
            ("version = 0\n".to_owned(), Kind::LockVersion, None),
            ("[[image]]\n".to_owned(), Kind::LockValue, Some("1")),
            (image("sise = 3\n"), Kind::LockUnknownKey, Some("6")),
            (image("digest = \"sha256:12\"\n"), Kind::LockValue, Some("6")),
            (image("alias = \"a b\"\n"), Kind::LockValue, Some("6")),
            (image("size = -1\n"), Kind::LockValue, Some("6")),
            (format!("{0}{1}", image(""), &image("")[12..]), Kind::LockDuplicate, None),
        ] {
            let cause = Lock::parse(&text).unwrap_err();
            assert_eq!(cause.kind, kind, "{text}\n{cause}");
            let found = cause.evidence.iter().find(|fact| fact.name == "line");
            assert_eq!(found.map(|fact| fact.value.as_str()), line, "{text}\n{cause}");
        }
    }

    #[test]
    fn what_changed_is_said_in_order() {
        let lock = |text: &str| Lock::parse(&format!("version = 1\n{text}")).unwrap();
        let line =
            |name: &str, id: char| format!("[[image]]\nreference = \"{name}\"\nid = \"{}\"\n", digest(id));
        let older = lock(&(line("a:1", '1') + &line("b:1", '1') + &line("c:1", '1')));
        let newer = lock(&(line("d:1", '1') + &line("b:1", '2') + &line("c:1", '1')));
        assert_eq!(newer.changes_since(&older), ["removed a:1", "changed b:1", "added d:1"]);
        assert!(newer.changes_since(&newer).is_empty());
    }

    #[test]
    fn an_absent_lock_is_none_and_an_unreadable_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(Lock::read(&directory.path().join("images.lock")).unwrap(), None);
        assert_eq!(Lock::read(directory.path()).unwrap_err().kind, Kind::HostFile);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC{0,200}") {
            let _ = Lock::parse(&text);
        }

        #[test]
        fn what_is_written_is_read_back(
            names in proptest::collection::btree_set("[a-z]{1,8}(/[a-z]{1,8})?:[a-z0-9]{1,5}", 0..6),
            size in proptest::option::of(0u64..1 << 40),
        ) {
            let images = names.iter().map(|name| LockedImage {
                reference: name.parse().unwrap(),
                digest: Some(digest('5').parse().unwrap()),
                id: digest('6').parse().unwrap(),
                size,
                alias: Some(name.parse().unwrap()),
            });
            let lock = Lock::new(None, images.collect());
            prop_assert_eq!(Lock::parse(&lock.to_text().unwrap()).unwrap(), lock);
        }
    }
}
