//! One source of settings, before it is merged: known keys only.

use std::ffi::OsString;

use toml::{Table, Value};

use super::inputs::Inputs;
use crate::cause::Cause;
use crate::kind::Kind;
use crate::suggest::closest;

/// What every environment variable of the agent's settings starts with.
pub const ENVIRONMENT_PREFIX: &str = "BOOT_AGENT_";

/// Some of the settings, from one origin.
#[derive(Debug, Clone, PartialEq)]
pub struct Fragment {
    table: Table,
    origin: String,
}

impl Fragment {
    /// The settings of one TOML file; `origin` is how messages name it.
    ///
    /// # Errors
    /// `settings.syntax`, with the position.
    pub fn from_toml(content: impl AsRef<[u8]>, origin: &str) -> Result<Self, Cause> {
        let content = content.as_ref();
        let invalid = |said: &str, position: Option<String>| {
            let sentence = format!("{origin} is not valid TOML: {}.", said.trim_end_matches('.'));
            let cause = Cause::config(Kind::SettingsSyntax, sentence, format!("Correct {origin}."));
            position.into_iter().fold(cause, |cause, position| cause.with("position", position))
        };
        let text = std::str::from_utf8(content).map_err(|error| {
            let before = String::from_utf8_lossy(&content[..error.valid_up_to()]);
            invalid("it is not UTF-8 text", Some(position(&before, before.len())))
        })?;
        let table: Table = text.parse().map_err(|error: toml::de::Error| {
            invalid(error.message(), error.span().map(|span| position(text, span.start)))
        })?;
        Ok(Fragment { table, origin: origin.to_owned() })
    }

    /// # Errors
    /// `settings.unknown_key`, with the nearest known key.
    pub(super) fn refuse_unknown(&self) -> Result<(), Cause> {
        refuse_unknown(&self.table, &known_keys()?, "", &self.origin)
    }

    /// Each of its settings as a fragment of its own.
    pub(super) fn singles(&self) -> Vec<Self> {
        let mut leaves = Vec::new();
        leaf_paths(&self.table, &mut Vec::new(), &mut leaves);
        let alone = |(path, value): (Vec<String>, Value)| {
            let mut table = Table::new();
            insert(&mut table, &path, value);
            Fragment { table, origin: self.origin.clone() }
        };
        leaves.into_iter().map(alone).collect()
    }

    /// The settings in `BOOT_AGENT_…` variables; other variables are none of ours.
    ///
    /// # Errors
    /// `settings.unknown_key` for a `BOOT_AGENT_` variable that no key has; `settings.type` for one that is not text.
    pub fn from_environment(variables: impl Iterator<Item = (OsString, OsString)>) -> Result<Self, Cause> {
        let mut leaves = Vec::new();
        leaf_paths(&known_keys()?, &mut Vec::new(), &mut leaves);
        // A list of tables has no sensible form in one variable.
        leaves.retain(|(_, value)| !value.as_array().is_some_and(|items| items.iter().any(Value::is_table)));
        let mut table = Table::new();
        for (name, value) in variables {
            let Some(name) = name.to_str().filter(|name| name.starts_with(ENVIRONMENT_PREFIX)) else {
                continue;
            };
            let Some((path, default)) = leaves.iter().find(|(path, _)| variable_name(path) == name) else {
                let candidates: Vec<String> = leaves.iter().map(|(path, _)| variable_name(path)).collect();
                return Err(unknown(name, &candidates, "the environment"));
            };
            let text = value.to_str().ok_or_else(|| {
                Cause::config(
                    Kind::SettingsType,
                    format!("{name} is not valid UTF-8."),
                    format!("Correct {name}."),
                )
            })?;
            insert(&mut table, path, typed(text, default));
        }
        Ok(Fragment { table, origin: "the environment".to_owned() })
    }

    /// Settings given by flags: key path (`install.url`) and value.
    pub fn from_flags<'a>(flags: impl IntoIterator<Item = (&'a str, String)>) -> Self {
        let mut table = Table::new();
        for (path, value) in flags {
            let path: Vec<String> = path.split('.').map(str::to_owned).collect();
            insert(&mut table, &path, Value::String(value));
        }
        Fragment { table, origin: "the command line".to_owned() }
    }

    /// Whether every value is of its key's type, looked at alone so that a message can name the origin.
    pub(super) fn check_types(&self) -> Result<(), Cause> {
        match self.table.clone().try_into::<Inputs>() {
            Ok(_) => Ok(()),
            Err(error) => Err(Cause::config(
                Kind::SettingsType,
                format!(
                    "A setting in {} has the wrong type: {}.",
                    self.origin,
                    error.message().trim().trim_end_matches('.')
                ),
                format!("Correct {}.", self.origin),
            )
            .with("setting", error.to_string().trim())),
        }
    }

    pub(super) fn into_table(self) -> Table {
        self.table
    }
}

/// The tree of known keys, with their defaults: the merged type itself is the list.
fn known_keys() -> Result<Table, Cause> {
    let mut known = Table::try_from(Inputs::default()).map_err(|error| {
        Cause::host(Kind::SettingsDefaults, "The built-in settings cannot be read.", "Reinstall the agent.")
            .with_error(&error)
    })?;
    let extra = super::inputs::Extra { object: String::new(), path: String::new(), mode: String::new() };
    if let Ok(table) = Table::try_from(extra) {
        known.insert("extra".to_owned(), Value::Array(vec![Value::Table(table)]));
    }
    Ok(known)
}

fn refuse_unknown(given: &Table, known: &Table, prefix: &str, origin: &str) -> Result<(), Cause> {
    for (key, value) in given {
        let path = format!("{prefix}{key}");
        let Some(expected) = known.get(key) else {
            let candidates: Vec<String> = known.keys().map(|known| format!("{prefix}{known}")).collect();
            return Err(unknown(&path, &candidates, origin));
        };
        match (value, expected) {
            (Value::Table(inner), Value::Table(known)) => {
                refuse_unknown(inner, known, &format!("{path}."), origin)?;
            }
            (Value::Array(items), Value::Array(known)) => {
                let known_item = known.first().and_then(Value::as_table);
                for (item, known_item) in items.iter().filter_map(Value::as_table).zip(known_item) {
                    refuse_unknown(item, known_item, &format!("{path}."), origin)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn unknown(name: &str, candidates: &[String], origin: &str) -> Cause {
    let next_step = match closest(name, candidates.iter().map(String::as_str)) {
        Some(candidate) => format!("Did you mean {candidate}? Correct {origin}."),
        None => format!("Remove it from {origin}; the known settings are: {}.", candidates.join(", ")),
    };
    Cause::config(Kind::SettingsUnknownKey, format!("Unknown setting {name} in {origin}."), next_step)
}

fn leaf_paths(table: &Table, above: &mut Vec<String>, leaves: &mut Vec<(Vec<String>, Value)>) {
    for (key, value) in table {
        above.push(key.clone());
        match value {
            Value::Table(inner) => leaf_paths(inner, above, leaves),
            _ => leaves.push((above.clone(), value.clone())),
        }
        above.pop();
    }
}

fn variable_name(path: &[String]) -> String {
    format!("{ENVIRONMENT_PREFIX}{}", path.join("_").to_uppercase())
}

/// A list is given as words; everything else is text.
fn typed(text: &str, default: &Value) -> Value {
    match default {
        Value::Array(_) => {
            Value::Array(text.split_whitespace().map(|word| Value::String(word.to_owned())).collect())
        }
        _ => Value::String(text.to_owned()),
    }
}

fn insert(table: &mut Table, path: &[String], value: Value) {
    match path {
        [] => {}
        [key] => {
            table.insert(key.clone(), value);
        }
        [key, rest @ ..] => {
            let inner = table.entry(key.clone()).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

fn position(text: &str, offset: usize) -> String {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    format!("line {line}, column {column}")
}
