//! `settings.conf`: the app's settings, which Replicated imports at its first start.

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;

pub(super) mod forms;
mod profile;

use std::collections::BTreeMap;

use super::file_name::FileName;
use super::finding::Diagnostics;
use super::json::{self, Member, Node};
use crate::cause::Cause;
use crate::kind::Kind;
use crate::suggest::closest;

/// What a setting may hold.
const MEMBERS: [&str; 5] = ["value", "data", "multi_value", "multi_data", "default"];

/// A setting's `value`.
#[derive(Clone, Copy)]
struct Setting<'m> {
    /// Byte offset of the value, or of the setting's key if there is none.
    at: usize,
    /// `None` if it is wrong and has been reported.
    value: Option<&'m str>,
}

/// The settings that are there, and where to note what is wrong with them.
struct Settings<'c, 'm, 't> {
    notes: &'c mut Diagnostics<'t>,
    given: BTreeMap<&'m str, Setting<'m>>,
}

/// Whether this is a setting that the app is known to have.
pub(super) fn is_key(name: &str) -> bool {
    profile::KEYS.contains(&name)
}

/// Notes everything that is wrong.
pub(super) fn check(notes: &mut Diagnostics<'_>, name: &FileName, members: &[Member]) {
    let flat = forms::flat(name, members);
    let is_flat = flat.is_some();
    if let Some(cause) = flat {
        notes.error(None, cause);
    }
    // Replicated reads this object into a map: names count as they are written, and the last of two equal ones wins.
    let given = members.iter().map(|member| {
        let plain = match &member.value.node {
            Node::String(text) if is_flat => Some(text.as_str()),
            _ => None,
        };
        let setting = match plain {
            Some(text) => Setting { at: member.value.at, value: Some(text) },
            None if is_flat && !matches!(member.value.node, Node::Object(_)) => {
                Setting { at: member.at, value: None }
            }
            None => setting(notes, member),
        };
        (member.key.as_str(), setting)
    });
    let given = given.collect();
    profile::check(&mut Settings { notes, given });
}

fn setting<'m>(notes: &mut Diagnostics<'_>, Member { key, at, value }: &'m Member) -> Setting<'m> {
    let plainly = format!("Write \"{key}\": {{\"value\": \"…\"}}");
    let Node::Object(members) = &value.node else {
        let sentence = format!("{key} must be an object with a \"value\", not {}.", value.node.name());
        notes.error(value.at, Cause::config(Kind::SettingsConfNotObject, sentence, plainly));
        return Setting { at: value.at, value: None };
    };
    let mut found = Setting { at: *at, value: Some("") };
    for member in members {
        let name = MEMBERS.iter().copied().find(|name| json::same_key(name, &member.key));
        let (name, node) = (name.unwrap_or(&member.key), &member.value.node);
        match (name, node) {
            ("value", Node::String(text)) => found = Setting { at: member.value.at, value: Some(text) },
            ("data" | "default", Node::String(_)) => {}
            ("value" | "data" | "default", _) => {
                let sentence = format!("The {name} of {key} must be a string, not {}.", node.name());
                let next_step = format!("Put it in double quotes: \"{key}\": {{\"{name}\": \"…\"}}");
                notes.error(
                    member.value.at,
                    Cause::config(Kind::SettingsConfValueNotString, sentence, next_step),
                );
                if name == "value" {
                    found = Setting { at: member.value.at, value: None };
                }
            }
            _ if MEMBERS.contains(&name) => {}
            _ => {
                let meant = closest(name, MEMBERS).unwrap_or("value");
                let sentence = format!("{key} has an unknown member {name:?}, which Replicated ignores.");
                let next_step = format!("Did you mean {meant:?}? Rename or delete it.");
                notes.warning(member.at, Cause::config(Kind::SettingsConfUnknownMember, sentence, next_step));
            }
        }
    }
    let holds = |name: &str| members.iter().any(|member| json::same_key(name, &member.key));
    let holds_more = MEMBERS.iter().any(|name| *name != "value" && holds(name));
    if found.value == Some("") && holds_more {
        // Its content is in `data` or the like, which this does not look into.
        found.value = None;
    }
    found
}
