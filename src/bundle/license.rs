//! The licence: opaque, but never empty and never an error page.

use super::finding::{Finding, Notes};
use super::text;

/// What is wrong with the licence.
pub(super) fn check(name: &str, bytes: &[u8]) -> Vec<Finding> {
    let mut notes = Notes::new(name, "");
    if let Some(cause) = text::not_there(name, bytes) {
        notes.error(None, cause);
    }
    notes.finish()
}
