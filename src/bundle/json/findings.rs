//! What a person is told about text that is not JSON.

use super::{Flaw, Member, Node, Reading, read};
use crate::bundle::finding::Notes;
use crate::cause::Cause;

/// The members of a file that must be one JSON object, as far as they can be made out; notes every slip.
pub(in crate::bundle) fn read_object(notes: &mut Notes<'_>, name: &str, text: &str) -> Option<Vec<Member>> {
    let Reading { value, slips } = read(text);
    for slip in slips {
        if let Some(cause) = cause(slip.flaw, name) {
            notes.error(slip.at, cause);
        }
    }
    match value?.node {
        Node::Object(members) => Some(members),
        other => {
            notes.error(
                None,
                Cause::config(
                    "bundle.json_not_object",
                    format!("{name} is {}, not a JSON object.", other.name()),
                    format!("Put everything of {name} between {{ and }}."),
                ),
            );
            None
        }
    }
}

/// `None` where the look at characters has said it already.
fn cause(flaw: Flaw, name: &str) -> Option<Cause> {
    let (kind, sentence, next_step) = match flaw {
        Flaw::CurlyQuotes => return None,
        Flaw::TrailingComma => (
            "bundle.json_trailing_comma",
            "A comma stands before the closing bracket; JSON allows none there.",
            "Delete the comma.",
        ),
        Flaw::MissingComma => (
            "bundle.json_missing_comma",
            "A comma is missing here.",
            "Add a comma at the end of this line, before the next key.",
        ),
        Flaw::MissingColon => {
            ("bundle.json_missing_colon", "A colon is missing after the key.", "Write \"key\": \"value\".")
        }
        Flaw::Comment => {
            ("bundle.json_comment", "A comment stands here; JSON has no comments.", "Delete the comment.")
        }
        Flaw::SingleQuotes => (
            "bundle.json_single_quotes",
            "Single quotes stand here; JSON knows double quotes alone.",
            "Write \" in place of '.",
        ),
        Flaw::BareKey => ("bundle.json_bare_word", "A key has no quotes.", "Put the key in double quotes."),
        Flaw::BareWord => (
            "bundle.json_bare_word",
            "A word without quotes is no JSON value, except true, false and null in small letters.",
            "Put the word in double quotes, or write true or false in small letters.",
        ),
        Flaw::Number => (
            "bundle.json_number",
            "This is no JSON number.",
            "Write digits without a leading 0 or +, or put it in double quotes.",
        ),
        Flaw::UnterminatedString => (
            "bundle.json_string",
            "A string begins here and is not closed on its line.",
            "Close it with \", and write a line break within it as \\n.",
        ),
        Flaw::ControlCharacter => (
            "bundle.json_string",
            "A tab or another control character stands within a string.",
            "Write a tab as \\t, or delete it.",
        ),
        Flaw::Escape => (
            "bundle.json_escape",
            "A backslash stands before a character that it makes nothing of.",
            "Write a backslash as \\\\.",
        ),
        Flaw::DuplicateKey => (
            "bundle.json_duplicate_key",
            "This key stands twice in the same object; Replicated takes the last one, its installer all of them.",
            "Keep one of them.",
        ),
        Flaw::TooDeep => (
            "bundle.json_too_deep",
            "Brackets are nested more than 32 deep here.",
            "Put the right file at the source.",
        ),
        Flaw::Truncated => (
            "bundle.json_truncated",
            "The file ends before its JSON does: a closing bracket is missing, or the upload was cut short.",
            "Add what is missing at the end, or upload the file again.",
        ),
        Flaw::Unexpected => (
            "bundle.json_syntax",
            "Something stands here that JSON does not allow at this place.",
            "Look at this place, and for a missing quote just before it.",
        ),
        Flaw::Trailing => (
            "bundle.json_syntax",
            "Something follows after the end of the JSON object.",
            "Delete what follows the closing bracket, or the bracket that closes too early.",
        ),
    };
    let next_step = format!("{next_step} To look again: jq . {name}");
    Some(Cause::config(kind, sentence, next_step))
}
