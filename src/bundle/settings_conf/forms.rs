//! The forms in which people export the app's settings, other than the one that Replicated imports.

use super::is_key;
use crate::bundle::file_name::FileName;
use crate::bundle::json::{Member, Node, Value};
use crate::cause::Cause;
use crate::kind::Kind;

/// Finds `{"name": …, "value": …}` at any depth.
const OF_LIST: &str = r#"jq '[.. | objects | select(has("name") and has("value")) | {(.name): {value: (.value // "" | tostring)}}] | add'"#;
const OF_FLAT: &str = r#"jq 'map_values(if type == "object" then . else {value: tostring} end)'"#;
const OF_LINES: &str = r#"jq -Rn '[inputs | capture("^(export )?(?<k>[A-Za-z_][A-Za-z0-9_]*)=\"?(?<v>.*?)\"?$") | {(.k): {value: .v}}] | add'"#;
const OF_YAML: &str = r#"jq -Rn 'reduce (inputs | capture("^(?<i> *)(?<k>[A-Za-z_][A-Za-z0-9_]*): *[\"\u0027]?(?<v>.*?)[\"\u0027]?$")) as $l ({}; if $l.i == "" then .at = $l.k | .out[$l.k].value = $l.v elif $l.k == "value" then .out[.at].value = $l.v else . end) | .out'"#;

fn cause(kind: Kind, name: &FileName, what: &str, filter: &str) -> Cause {
    Cause::config(
        kind,
        format!("{} is {what}; Replicated imports {{\"hostname\": {{\"value\": \"…\"}}, …}}.", name.shown),
        format!("Convert it: {}", name.converted(filter)),
    )
}

/// A JSON value that is no object: the list that `replicated app ID settings` prints.
pub(in crate::bundle) fn list(name: &FileName, value: &Value) -> Option<Cause> {
    let is_list = matches!(&value.node, Node::Array(elements) if !elements.is_empty());
    is_list.then(|| cause(Kind::SettingsConfList, name, "a list of settings", OF_LIST))
}

/// An object with the values themselves in place of `{"value": …}`.
pub(in crate::bundle) fn flat(name: &FileName, members: &[Member]) -> Option<Cause> {
    let is_plain =
        |member: &&Member| matches!(member.value.node, Node::String(_) | Node::Number(_) | Node::Bool(_));
    let plain = members.iter().filter(is_plain).count();
    (plain >= 2 && plain * 2 > members.len())
        .then(|| cause(Kind::SettingsConfFlat, name, "an object of plain values", OF_FLAT))
}

/// A text that does not even begin like JSON.
pub(in crate::bundle) fn no_json(name: &FileName, text: &str) -> Option<Cause> {
    let begins = text.trim_start();
    if begins.starts_with(['{', '[', '"']) {
        return None;
    }
    let lines = || {
        text.lines().map(str::trim_end).filter(|line| !line.is_empty() && !line.starts_with('#')).take(200)
    };
    let is_name = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
    };
    let named = |separator: char| {
        lines()
            .filter(|line| {
                line.split_once(separator)
                    .is_some_and(|(name, _)| is_name(name.trim_start_matches("export ")))
            })
            .count()
    };
    let known = |separator: char| {
        lines().any(|line| {
            line.split_once(separator).is_some_and(|(name, _)| is_key(name.trim_start_matches("export ")))
        })
    };
    let count = lines().count();
    if known('=') || (count > 0 && named('=') == count) {
        return Some(cause(Kind::SettingsConfKeyValue, name, "in KEY=VALUE format", OF_LINES));
    }
    let is_yaml = known(':') || lines().next() == Some("---") || named(':') * 2 > count;
    is_yaml.then(|| cause(Kind::SettingsConfYaml, name, "YAML", OF_YAML))
}
