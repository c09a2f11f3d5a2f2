//! The licence: an opaque binary file, and nothing that is known to be something else.

use super::file_name::FileName;
use super::finding::{Diagnostics, Finding};
use super::{recognise, text};

/// What is wrong with the licence.
pub(super) fn check(name: &FileName, bytes: &[u8]) -> Vec<Finding> {
    let mut notes = Diagnostics::new(&name.shown, "");
    if let Some(cause) = text::not_there(name, bytes).or_else(|| recognise::not_a_license(name, bytes)) {
        notes.error(None, cause);
    } else if let Some(cause) = recognise::packed_license(name, bytes) {
        notes.warning(None, cause);
    }
    notes.finish()
}
