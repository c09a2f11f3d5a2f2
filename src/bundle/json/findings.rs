//! Findings about text that is not JSON.

use super::{JsonError, Member, Node, Parsed, read};
use crate::bundle::file_name::FileName;
use crate::bundle::finding::Diagnostics;
use crate::bundle::settings_conf::forms;
use crate::cause::Cause;
use crate::kind::Kind;

/// The members of a file that must be one JSON object, as far as they can be made out; notes every slip.
pub(in crate::bundle) fn read_object(
    notes: &mut Diagnostics<'_>,
    name: &FileName,
    text: &str,
    is_settings: bool,
) -> Option<Vec<Member>> {
    // Another format is one mistake, and not as many as it has characters that are no JSON.
    if let Some(cause) = forms::no_json(name, text).filter(|_| is_settings) {
        notes.error(None, cause);
        return None;
    }
    let Parsed { value, slips } = read(text);
    for slip in slips {
        if let Some(cause) = cause(slip.flaw, name) {
            notes.error(slip.at, cause);
        }
    }
    let value = value?;
    if let Some(cause) = forms::list(name, &value).filter(|_| is_settings) {
        notes.error(None, cause);
        return None;
    }
    match value.node {
        Node::Object(members) => Some(members),
        other => {
            notes.error(
                None,
                Cause::config(
                    Kind::BundleJsonNotObject,
                    format!("{} must be a JSON object, not {}.", name.shown, other.name()),
                    format!("Put the content of {} between {{ and }}.", name.shown),
                ),
            );
            None
        }
    }
}

/// `None` where the check of characters has reported it.
fn cause(flaw: JsonError, name: &FileName) -> Option<Cause> {
    let (kind, sentence, next_step) = match flaw {
        JsonError::CurlyQuotes => return None,
        JsonError::TrailingComma => (
            Kind::BundleJsonTrailingComma,
            "Trailing comma: JSON does not allow a comma before } or ].",
            "Delete the comma.",
        ),
        JsonError::MissingComma => {
            (Kind::BundleJsonMissingComma, "Missing comma.", "Add a comma here, before the next key.")
        }
        JsonError::MissingColon => {
            (Kind::BundleJsonMissingColon, "Missing colon after the key.", "Write \"key\": \"value\".")
        }
        JsonError::Comment => {
            (Kind::BundleJsonComment, "JSON does not allow comments.", "Delete the comment.")
        }
        JsonError::SingleQuotes => {
            (Kind::BundleJsonSingleQuotes, "JSON strings need double quotes.", "Replace each ' with \".")
        }
        JsonError::BareKey => (Kind::BundleJsonBareWord, "Unquoted key.", "Put the key in double quotes."),
        JsonError::BareWord => (
            Kind::BundleJsonBareWord,
            "Unquoted value: only true, false, null and numbers need no quotes.",
            "Put the value in double quotes, or write true or false in lower case.",
        ),
        JsonError::Number => (
            Kind::BundleJsonNumber,
            "Invalid number.",
            "Write digits without a leading 0 or +, or put it in double quotes.",
        ),
        JsonError::UnterminatedString => (
            Kind::BundleJsonString,
            "The string that starts here is not closed on its line.",
            "Close it with \", and write a line break in it as \\n.",
        ),
        JsonError::ControlCharacter => {
            (Kind::BundleJsonString, "Control character in a string.", "Write a tab as \\t, or delete it.")
        }
        JsonError::Escape => {
            (Kind::BundleJsonEscape, "Invalid escape sequence.", "Write a literal backslash as \\\\.")
        }
        JsonError::DuplicateKey => (
            Kind::BundleJsonDuplicateKey,
            "Duplicate key: Replicated uses the last one, while its installer reads all of them.",
            "Keep only one of them.",
        ),
        JsonError::TooDeep => {
            (Kind::BundleJsonTooDeep, "Nested more than 32 levels deep.", "Replace it with the right file.")
        }
        JsonError::Truncated => (
            Kind::BundleJsonTruncated,
            "Unexpected end of file: a closing bracket is missing, or the upload was cut short.",
            "Add what is missing at the end, or upload the file again.",
        ),
        JsonError::Unexpected => (
            Kind::BundleJsonSyntax,
            "Unexpected character.",
            "Correct it; look for a missing quote just before it.",
        ),
        JsonError::Trailing => (
            Kind::BundleJsonSyntax,
            "Unexpected text after the end of the JSON object.",
            "Delete it, or the bracket that closes the object too early.",
        ),
    };
    let next_step = format!("{next_step} Check: {}", name.given_to("jq ."));
    Some(Cause::config(kind, sentence, next_step))
}
