//! Every JSON that a test sees is as `--schema` of its command documents it, and has nothing beside that.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use jsonschema::Validator;
use serde_json::Value;

use super::shell;

static KNOWN: Mutex<BTreeMap<&'static str, Validator>> = Mutex::new(BTreeMap::new());

/// # Panics
/// With every difference.
#[track_caller]
pub(crate) fn assert_documented(command: &'static str, json: &Value) {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let validator = known.entry(command).or_insert_with(|| {
        let printed = shell::must(Command::new(env!("CARGO_BIN_EXE_agent")).args([command, "--schema"]));
        let mut schema: Value = serde_json::from_str(&printed).unwrap();
        close(&mut schema);
        jsonschema::validator_for(&schema).unwrap()
    });
    let wrong: Vec<String> =
        validator.iter_errors(json).map(|error| format!("{}: {error}", error.instance_path())).collect();
    drop(known);
    assert!(wrong.is_empty(), "agent {command} --schema documents something else:\n{wrong:#?}\n{json:#}");
}

/// Readers pass over what they do not know; a test does not, so that every field gets documented.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if members.get("type").is_some_and(|kind| kind == "object") && members.contains_key("properties")
            {
                members.entry("additionalProperties").or_insert(Value::Bool(false));
            }
            members.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}
