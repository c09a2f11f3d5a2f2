//! The licence: opaque, but never empty and never an error page.

use super::file_name::FileName;
use super::finding::{Finding, Notes};
use super::text;

/// What is wrong with the licence.
pub(super) fn check(name: &FileName, bytes: &[u8]) -> Vec<Finding> {
    let mut notes = Notes::new(&name.shown, "");
    if let Some(cause) = text::not_there(name, bytes) {
        notes.error(None, cause);
    }
    notes.finish()
}
