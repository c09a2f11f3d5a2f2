//! What Vault answered.

use serde_json::Value;

/// One answer, its body whole.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    /// Where a redirect leads to.
    pub(super) location: Option<String>,
    pub(super) body: Vec<u8>,
}

impl Response {
    pub(super) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// Vault's error messages, or else the beginning of the body; may be empty.
    pub(super) fn words(&self) -> String {
        let json = self.json();
        let errors = json.as_ref().and_then(|json| json.get("errors")).and_then(Value::as_array);
        let said = match errors {
            Some(errors) => errors.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("; "),
            None => String::from_utf8_lossy(&self.body).into_owned(),
        };
        let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
        words.chars().filter(|c| !c.is_control()).take(200).collect()
    }

    /// The answer's `data`, which old releases repeat at the top and new ones do not.
    pub(super) fn data(&self) -> Option<Value> {
        let json = self.json()?;
        match json.get("data") {
            Some(data) if data.is_object() => Some(data.clone()),
            _ => Some(json),
        }
    }
}
