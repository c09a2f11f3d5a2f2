//! The files of a bundle as [`crate::fuzz`] tries them.
#![allow(clippy::unwrap_used)]

use super::json::JsonError;
use super::validate::validate_without_secrets;
use super::{BundleFile, Fetched, json, secrets, shell};
use crate::fuzz::text;

/// A bundle of this one file.
pub(crate) fn file(file: BundleFile, bytes: &[u8]) {
    let mut fetched = Fetched::default();
    fetched.files.insert(file, bytes.to_vec());
    let validation = validate_without_secrets(&fetched);
    assert!(validation.bundle.is_none(), "three files are missing");
    for finding in &validation.findings {
        assert!(finding.cause.sentence.ends_with('.'), "{finding}");
        assert!(!finding.cause.next_step.is_empty(), "{finding}");
    }
    secrets::found(&fetched);
}

/// Where nothing is found wrong, another reader takes it too, and where it does, nothing but what it lets pass is found.
pub(crate) fn json(bytes: &[u8]) {
    let text = text(bytes);
    let parsed = json::read(&text);
    let taken = serde_json::from_str::<serde::de::IgnoredAny>(&text);
    match &taken {
        Ok(_) => {
            // Half of a surrogate pair, which the other takes where it need not decode it, is an escape.
            let lets_pass =
                |flaw| matches!(flaw, JsonError::DuplicateKey | JsonError::TooDeep | JsonError::Escape);
            assert!(parsed.slips.iter().all(|slip| lets_pass(slip.flaw)), "{text:?}: {:?}", parsed.slips);
        }
        Err(error) => assert!(!parsed.slips.is_empty(), "{text:?}: {error}"),
    }
    assert!(parsed.slips.iter().all(|slip| text.is_char_boundary(slip.at)), "{text:?}: {:?}", parsed.slips);
}

pub(crate) fn shell(bytes: &[u8]) {
    let text = text(bytes);
    for (name, variable) in shell::read(&text).variables() {
        assert!(variable.at <= text.len(), "{name} is set at {}", variable.at);
    }
}
