//! JSON Schemas for the JSON output of every command, embedded from the files next to this one: one for each command,
//! and the shared definitions.

use serde_json::{Map, Value, json};

use crate::cause::Cause;
use crate::command::{CommandOutput, Exit};
use crate::kind::Kind;

/// What the schemas share.
const COMMON: &str = include_str!("schema/common.json");

/// A command that prints JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    Boot,
    Probe,
    Check,
    Bake,
    Status,
    Explain,
}

impl Of {
    fn name(self) -> &'static str {
        match self {
            Of::Boot => "boot",
            Of::Probe => "probe",
            Of::Check => "check",
            Of::Bake => "bake",
            Of::Status => "status",
            Of::Explain => "explain",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Of::Boot => include_str!("schema/boot.json"),
            Of::Probe => include_str!("schema/probe.json"),
            Of::Check => include_str!("schema/check.json"),
            Of::Bake => include_str!("schema/bake.json"),
            Of::Status => include_str!("schema/status.json"),
            Of::Explain => include_str!("schema/explain.json"),
        }
    }
}

/// The schema of one command's output, as `--schema` prints it.
///
/// # Errors
/// `schema.damaged`: never of a binary whose tests passed.
pub(crate) fn printed(of: Of) -> Result<CommandOutput, Cause> {
    let json = schema(of).map_err(|error| {
        Cause::host(Kind::SchemaDamaged, "The schema in this binary is damaged.", "Reinstall the agent.")
            .with_error(&error)
    })?;
    Ok(CommandOutput { text: format!("{json:#}\n"), json, exit: Exit::Good })
}

fn schema(of: Of) -> Result<Value, serde_json::Error> {
    let mut schema: Map<String, Value> = serde_json::from_str(of.text())?;
    let common: Map<String, Value> = serde_json::from_str(COMMON)?;
    schema.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    schema.insert("$id".to_owned(), json!(format!("urn:boot-agent:{}:1", of.name())));
    let own = schema.remove("$defs");
    let mut definitions = common;
    if let Some(Value::Object(own)) = own {
        definitions.extend(own);
    }
    // Only definitions that this command's output references, directly or indirectly.
    let mut used = Value::Object(schema.clone()).to_string();
    let mut kept = Map::new();
    while let Some(name) = definitions.keys().find(|name| refers(&used, name)).cloned() {
        if let Some(definition) = definitions.remove(&name) {
            used.push_str(&definition.to_string());
            kept.insert(name, definition);
        }
    }
    schema.insert("$defs".to_owned(), Value::Object(kept));
    Ok(Value::Object(schema))
}

fn refers(text: &str, name: &str) -> bool {
    ['"', '/'].iter().any(|end| text.contains(&format!("\"#/$defs/{name}{end}")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_schema_is_one_and_refers_to_nothing_that_is_not_in_it() {
        for of in [Of::Boot, Of::Probe, Of::Check, Of::Bake, Of::Status, Of::Explain] {
            let schema = schema(of).unwrap();
            jsonschema::meta::validate(&schema).unwrap();
            let text = schema.to_string();
            for reference in text.split("\"#/$defs/").skip(1) {
                let name = reference.split(['"', '/']).next().unwrap();
                assert!(schema["$defs"].get(name).is_some(), "{}: {name}", of.name());
            }
        }
    }
}
