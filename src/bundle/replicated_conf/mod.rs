//! `replicated.conf`: how Replicated installs itself with nobody watching.

mod airgap;
mod keys;
mod rules;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::finding::Diagnostics;
use super::json::{Member, Node};
use super::package::Package;
use super::text::is_open_in_json;
use crate::cause::Cause;
use crate::kind::Kind;
use crate::suggest::closest;
use keys::Shape;

/// What the rest of a boot wants to know of `replicated.conf`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplicatedConf {
    /// `RemoveImportSettingsFrom`: Replicated removes the settings file once it has imported it, so that its absence
    /// later is no drift.
    pub removes_settings: bool,
    /// `LicenseBootstrapAirgapPackagePath`: where Replicated looks for the airgap package.
    pub airgap_path: Option<PathBuf>,
}

/// What else there is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beside<'c> {
    /// Every file that will be in place once the bundle is.
    pub(super) placed: &'c BTreeSet<PathBuf>,
    /// The airgap packages at the source, where that is known.
    pub(super) packages: Option<&'c [Package]>,
    /// The installer's arguments by the settings.
    pub(super) arguments: &'c [String],
}

/// A key that has the type it should have.
struct Given<'m> {
    at: usize,
    value: &'m Node,
}

/// The keys that are there, and where to note what is wrong with them.
struct Conf<'c, 'm, 't> {
    notes: &'c mut Diagnostics<'t>,
    given: BTreeMap<&'m str, Given<'m>>,
    beside: Beside<'c>,
}

/// Notes everything that is wrong, and gives what is right.
pub(super) fn check(
    notes: &mut Diagnostics<'_>,
    text: &str,
    members: &[Member],
    beside: Beside<'_>,
) -> ReplicatedConf {
    let mut given = BTreeMap::new();
    let mut present: BTreeMap<&str, &str> = BTreeMap::new();
    for member in members {
        let Some((key, shape)) = keys::known(&member.key) else {
            unknown_key(notes, &member.key, member.at);
            continue;
        };
        // The same key twice has been reported, when it is spelt alike.
        if let Some(before) = present.insert(key, &member.key).filter(|before| *before != member.key) {
            notes.error(member.at, same_key_twice(before, &member.key));
        }
        // Of several the last one counts.
        given.remove(key);
        if is_right(notes, key, shape, member) {
            given.insert(key, Given { at: member.at, value: &member.value.node });
        }
    }
    let present: BTreeSet<&str> = present.into_keys().collect();
    for key in ["LocalAddress", "HttpProxy"] {
        rules::found_by_grep(notes, text, members, key);
    }
    let mut conf = Conf { notes, given, beside };
    rules::check(&mut conf, &present);
    airgap::check(&mut conf, present.contains(airgap::KEY));
    let removes = conf.given.get("RemoveImportSettingsFrom").map(|given| given.value);
    ReplicatedConf {
        removes_settings: matches!(removes, Some(Node::Bool(true))),
        airgap_path: conf.text(airgap::KEY).map(PathBuf::from),
    }
}

impl<'m> Conf<'_, 'm, '_> {
    fn at(&self, key: &str) -> Option<usize> {
        self.given.get(key).map(|given| given.at)
    }

    fn text(&self, key: &str) -> Option<&'m str> {
        match self.given.get(key).map(|given| given.value) {
            Some(Node::String(text)) => Some(text),
            _ => None,
        }
    }

    fn has(&self, key: &str) -> bool {
        self.given.contains_key(key)
    }

    fn places(&self, path: &str) -> bool {
        self.beside.placed.contains(Path::new(path))
    }
}

/// Whether this is a key that Replicated knows, as it reads keys.
pub(super) fn is_key(key: &str) -> bool {
    keys::known(key).is_some()
}

fn same_key_twice(before: &str, key: &str) -> Cause {
    Cause::config(
        Kind::BundleJsonDuplicateKey,
        format!("{before:?} and {key:?} are the same key to Replicated, which uses the last one."),
        "Keep only one of them.",
    )
}

/// Whether the value is one that the key can have; notes what is wrong otherwise.
fn is_right(notes: &mut Diagnostics<'_>, key: &str, shape: Shape, Member { value, .. }: &Member) -> bool {
    let wrong_type = |wanted: &str, example: String| {
        Cause::config(
            Kind::ReplicatedConfType,
            format!("{key} must be {wanted}, not {}.", value.node.name()),
            format!("Write {example}"),
        )
    };
    match (shape, &value.node) {
        (Shape::Bool, Node::Bool(_)) => true,
        (Shape::Bool, _) => {
            notes.error(
                value.at,
                wrong_type("true or false", format!("\"{key}\": true, without quotes around it.")),
            );
            false
        }
        (Shape::Number, Node::Number(number)) => {
            // Go reads it into an int of 64 bits.
            let whole = number.parse::<i64>().is_ok_and(|number| number >= 0);
            if !whole {
                let number = if number.len() <= 40 { number } else { "a longer number" };
                let sentence = format!("{key} is {number}; it must be an integer from 0 to 2^63-1.");
                notes.error(
                    value.at,
                    Cause::config(Kind::ReplicatedConfValue, sentence, format!("Write \"{key}\": 2439")),
                );
            }
            whole
        }
        (Shape::Number, _) => {
            notes.error(
                value.at,
                wrong_type("a number", format!("\"{key}\": 2439, without quotes around it.")),
            );
            false
        }
        (_, Node::String(text)) if text.trim().is_empty() => {
            empty(notes, key, value.at);
            false
        }
        (Shape::OneOf(choices), Node::String(text)) if !choices.contains(&text.as_str()) => {
            // A placeholder has been named already.
            if !is_open_in_json(text) {
                let meant = closest(text, choices.iter().copied());
                let next_step = match meant {
                    Some(meant) => format!("Did you mean \"{meant}\"? Write \"{key}\": \"{meant}\""),
                    None => format!("Write one of: {}.", choices.join(", ")),
                };
                // What is no slip of a choice may be the password, one line too high.
                let quoted = if key == "DaemonAuthenticationType" && meant.is_none() {
                    "something else".to_owned()
                } else {
                    format!("{text:?}")
                };
                let sentence = format!("{key} is {quoted}; allowed values: {}.", choices.join(", "));
                notes.error(value.at, Cause::config(Kind::ReplicatedConfValue, sentence, next_step));
            }
            false
        }
        (Shape::Path, Node::String(text)) if !text.starts_with('/') => {
            if !is_open_in_json(text) {
                let sentence = format!("{key} must be an absolute path, not {text:?}.");
                notes.error(
                    value.at,
                    Cause::config(Kind::ReplicatedConfPath, sentence, format!("Write \"{key}\": \"/etc/…\"")),
                );
            }
            false
        }
        (_, Node::String(_)) => true,
        (Shape::Ignored, _) => true,
        (_, _) => {
            notes.error(
                value.at,
                wrong_type("a string", format!("\"{key}\": \"…\", with quotes around the value.")),
            );
            false
        }
    }
}

fn empty(notes: &mut Diagnostics<'_>, key: &str, at: usize) {
    let cause = Cause::config(
        Kind::ReplicatedConfEmpty,
        format!("{key} is empty."),
        format!("Give {key} a value, or delete the line."),
    );
    if keys::may_be_empty(key) { notes.warning(at, cause) } else { notes.error(at, cause) }
}

fn unknown_key(notes: &mut Diagnostics<'_>, key: &str, at: usize) {
    let meant = closest(key, keys::names());
    if keys::is_of_open_family(key) && meant.is_none() {
        return;
    }
    let next_step = match meant {
        Some(meant) => format!("Did you mean {meant}? Rename the key, or delete it."),
        None => "Delete the key, or look up its spelling in Replicated's documentation.".to_owned(),
    };
    let sentence = format!("Unknown key {key:?}; Replicated ignores it.");
    notes.warning(at, Cause::config(Kind::ReplicatedConfUnknownKey, sentence, next_step));
}
