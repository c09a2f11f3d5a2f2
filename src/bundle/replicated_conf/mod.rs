//! `replicated.conf`: how Replicated installs itself with nobody watching.

mod keys;
mod rules;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::finding::Notes;
use super::json::{Member, Node};
use super::text::has_placeholder;
use crate::cause::Cause;
use crate::database::uri::closest;
use keys::{Shape, shape};

/// What the rest of a boot wants to know of `replicated.conf`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplicatedConf {
    /// `RemoveImportSettingsFrom`: Replicated removes the settings file once it has imported it, so that its absence
    /// later is no drift.
    pub removes_settings: bool,
}

/// A key that has the type it should have.
struct Given<'m> {
    at: usize,
    value: &'m Node,
}

/// The keys that are there, and where to note what is wrong with them.
struct Conf<'c, 'm, 't> {
    notes: &'c mut Notes<'t>,
    given: BTreeMap<&'m str, Given<'m>>,
    /// Every file that will be in place once the bundle is.
    placed: &'c BTreeSet<PathBuf>,
}

/// Notes everything that is wrong, and gives what is right.
pub(super) fn check(
    notes: &mut Notes<'_>,
    text: &str,
    members: &[Member],
    placed: &BTreeSet<PathBuf>,
) -> ReplicatedConf {
    let mut given = BTreeMap::new();
    for member in members {
        if known(notes, member) {
            given.insert(member.key.as_str(), Given { at: member.at, value: &member.value.node });
        }
    }
    for key in ["LocalAddress", "HttpProxy"] {
        rules::found_by_grep(notes, text, members, key);
    }
    let present = members.iter().map(|member| member.key.as_str()).collect();
    let mut conf = Conf { notes, given, placed };
    rules::check(&mut conf, &present);
    let removes = conf.given.get("RemoveImportSettingsFrom").map(|given| given.value);
    ReplicatedConf { removes_settings: matches!(removes, Some(Node::Bool(true))) }
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
        self.placed.contains(Path::new(path))
    }
}

/// Whether the member is a known key with a value that it can have; notes what is wrong otherwise.
fn known(notes: &mut Notes<'_>, Member { key, at, value }: &Member) -> bool {
    let Some(shape) = shape(key) else {
        unknown_key(notes, key, *at);
        return false;
    };
    let wrong_type = |wanted: &str, example: String| {
        Cause::config(
            "replicated_conf.type",
            format!("{key} is {}, and must be {wanted}.", value.node.name()),
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
            let whole = number.parse::<u64>().is_ok();
            if !whole {
                let sentence = format!("{key} is {number}, and must be a whole number.");
                notes.error(
                    value.at,
                    Cause::config("replicated_conf.value", sentence, format!("Write \"{key}\": 2439")),
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
            if !has_placeholder(text) {
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
                let sentence = format!("{key} is {quoted}, and must be one of: {}.", choices.join(", "));
                notes.error(value.at, Cause::config("replicated_conf.value", sentence, next_step));
            }
            false
        }
        (Shape::Path, Node::String(text)) if !text.starts_with('/') => {
            if !has_placeholder(text) {
                let sentence = format!("{key} is {text:?}, and must be an absolute path.");
                notes.error(
                    value.at,
                    Cause::config("replicated_conf.path", sentence, format!("Write \"{key}\": \"/etc/…\"")),
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

fn empty(notes: &mut Notes<'_>, key: &str, at: usize) {
    let cause = Cause::config(
        "replicated_conf.empty",
        format!("{key} is empty."),
        format!("Give {key} a value, or delete the line."),
    );
    if keys::may_be_empty(key) { notes.warning(at, cause) } else { notes.error(at, cause) }
}

fn unknown_key(notes: &mut Notes<'_>, key: &str, at: usize) {
    let meant = closest(key, keys::names());
    if keys::is_of_open_family(key) && meant.is_none() {
        return;
    }
    let next_step = match meant {
        Some(meant) => format!("Did you mean {meant}? Rename the key, or delete it."),
        None => "Delete the key, or look up its spelling in Replicated's documentation.".to_owned(),
    };
    let sentence = format!("Replicated knows no key {key:?} and ignores it.");
    notes.warning(at, Cause::config("replicated_conf.unknown_key", sentence, next_step));
}
