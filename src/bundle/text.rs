//! What holds for every file of a bundle: it is text, it is the file and not a page about its absence, and nothing of the
//! document it was pasted from is left in it.

use std::ops::Range;

use super::finding::Notes;
use crate::cause::Cause;

/// No file of a bundle comes near this; what is larger is something else.
pub(super) const LARGEST: usize = 1024 * 1024;

/// A file's bytes as text, without its byte order mark, and what is wrong with them before anyone reads them as what they
/// should be. There is no text where there is no reading it.
pub(super) fn decode(name: &str, bytes: &[u8]) -> (Option<String>, Vec<super::Finding>) {
    let fail = |cause: Cause| {
        let mut notes = Notes::new(name, "");
        notes.error(None, cause);
        (None, notes.finish())
    };
    if let Some(cause) = not_there(name, bytes) {
        return fail(cause);
    }
    if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
        return fail(Cause::config(
            "bundle.utf16",
            format!("{name} is UTF-16, as Windows editors save it."),
            format!("Convert it: iconv -f UTF-16 -t UTF-8 {name}"),
        ));
    }
    let (marked, bytes) = match bytes.strip_prefix(b"\xEF\xBB\xBF") {
        Some(rest) => (true, rest),
        None => (false, bytes),
    };
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(error) => {
            let at = error.valid_up_to() + if marked { 3 } else { 0 };
            let byte = bytes.get(error.valid_up_to()).copied().unwrap_or_default();
            return fail(Cause::config(
                "bundle.not_utf8",
                format!("{name} is not UTF-8: byte {at} is 0x{byte:02x}."),
                format!("Save it as UTF-8, for example: iconv -f ISO-8859-1 -t UTF-8 {name}"),
            ));
        }
    };
    let mut notes = Notes::new(name, &text);
    if marked {
        notes.error(
            0,
            Cause::config(
                "bundle.byte_order_mark",
                format!(
                    "{name} begins with a byte order mark, which neither Replicated nor the shell reads over."
                ),
                format!("Remove it: sed -i '1s/^\\xEF\\xBB\\xBF//' {name}"),
            ),
        );
    }
    if let Some(at) = text.find('\0') {
        notes.error(
            at,
            Cause::config(
                "bundle.nul_byte",
                format!("{name} contains a NUL byte, so it is no text file."),
                "Upload the file again from where it was written.",
            ),
        );
    }
    let findings = notes.finish();
    (Some(text), findings)
}

/// Why the bytes are not the file at all.
pub(super) fn not_there(name: &str, bytes: &[u8]) -> Option<Cause> {
    if bytes.len() > LARGEST {
        return Some(
            Cause::config(
                "bundle.too_large",
                format!("{name} has {} bytes; no such file is larger than 1 MiB.", bytes.len()),
                format!("Put the right file in place of {name} at the source."),
            )
            .with("bytes", bytes.len()),
        );
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Some(Cause::config(
            "bundle.empty_file",
            format!("{name} is empty."),
            format!("Upload {name} to the source again."),
        ));
    }
    markup_page(name, bytes)
}

/// An HTML or XML page in place of the file: S3 and proxies answer so when they have no file to give.
fn markup_page(name: &str, bytes: &[u8]) -> Option<Cause> {
    let head = String::from_utf8_lossy(bytes.get(..4096).unwrap_or(bytes)).into_owned();
    let head = head.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
    let lower = head.to_ascii_lowercase();
    let is_page = ["<!doctype", "<html", "<head", "<body", "<?xml", "<error>", "<!--", "<script"]
        .iter()
        .any(|start| lower.starts_with(start));
    if !is_page {
        return None;
    }
    let what =
        if lower.contains("<html") || lower.starts_with("<!doctype html") { "an HTML" } else { "an XML" };
    let mut cause = Cause::config(
        "bundle.markup_page",
        format!("{name} is {what} page, not the file: whoever uploaded it saved an error or a login page."),
        format!("Download {name} again, look into it, and upload it to the source."),
    );
    for (element, called) in [("code", "code"), ("message", "message"), ("title", "title")] {
        let content = lower.find(&format!("<{element}>")).and_then(|start| {
            let start = start + element.len() + 2;
            let end = start + lower.get(start..)?.find("</")?;
            head.get(start..end)
        });
        if let Some(content) = content {
            cause = cause.with(called, content.trim().chars().take(200).collect::<String>());
        }
    }
    Some(cause)
}

/// Finds what documents leave behind, outside the ranges of `comments`.
pub(super) fn pasted(notes: &mut Notes<'_>, name: &str, text: &str, comments: &[Range<usize>]) {
    let commented = |at: usize| {
        let index = comments.partition_point(|comment| comment.start <= at);
        index.checked_sub(1).and_then(|index| comments.get(index)).is_some_and(|comment| at < comment.end)
    };
    let mut quoted_line = None;
    let mut invisible_line = None;
    let mut line = 0;
    for (at, c) in text.char_indices() {
        match c {
            '\n' => line += 1,
            '“' | '”' | '„' | '‟' | '‘' | '’' | '‚' | '‛' if quoted_line != Some(line) && !commented(at) =>
            {
                quoted_line = Some(line);
                let straight = if matches!(c, '“' | '”' | '„' | '‟') { '"' } else { '\'' };
                notes.error(
                    at,
                    Cause::config(
                        "bundle.curly_quote",
                        format!("A curly quote ({c}), pasted from a document, is no quote to a program."),
                        format!("Type {straight} for each curly quote on this line of {name}."),
                    ),
                );
            }
            '\u{a0}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'
            | '\u{feff}'
                if invisible_line != Some(line) && !commented(at) =>
            {
                invisible_line = Some(line);
                notes.warning(
                    at,
                    Cause::config(
                        "bundle.invisible_character",
                        format!("An invisible character (U+{:04X}) stands here, as pasting from a document leaves it.", u32::from(c)),
                        format!("Delete it and type the text around it again; cat -A {name} shows it."),
                    ),
                );
            }
            _ => {}
        }
    }
    for at in placeholders(text).filter(|range| !commented(range.start)) {
        let placeholder = text.get(at.clone()).unwrap_or_default();
        notes.error(
            at.start,
            Cause::config(
                "bundle.placeholder",
                format!("The placeholder {placeholder} has not been filled in."),
                format!("Write the real value in place of {placeholder}, without the angle brackets."),
            ),
        );
    }
}

/// Windows line ends; `harmful` where the carriage return becomes part of a value.
pub(super) fn windows_line_ends(notes: &mut Notes<'_>, name: &str, text: &str, harmful: bool) {
    let Some(at) = text.find("\r\n") else { return };
    let next_step = format!("Convert it: sed -i 's/\\r$//' {name}");
    if harmful {
        let sentence =
            "Lines end as on Windows (CRLF), and the shell makes the invisible CR a part of each value.";
        notes.error(at, Cause::config("bundle.crlf", sentence, next_step));
    } else {
        let sentence = "Lines end as on Windows (CRLF); JSON allows it, other readers of the file may not.";
        notes.warning(at, Cause::config("bundle.crlf", sentence, next_step));
    }
}

/// Where a text has words in angle brackets, `<hostname>` or `<CircleCI hostname>`, also as Go's JSON encoder writes them
/// (`\u003chostname\u003e`).
///
/// A password may hold `<` and `>`, so only a word of letters counts, and only where it stands by itself: `x<ab>y` is
/// no placeholder.
pub(super) fn placeholders(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    const FORMS: [(&str, &str); 2] = [("<", ">"), ("\\u003c", "\\u003e")];
    FORMS.iter().flat_map(move |(open, close)| {
        text.match_indices(open).filter_map(move |(start, _)| {
            let inside = start + open.len();
            // Far more than any placeholder has; keeps this linear where nothing ever closes.
            let window: String = text[inside..].chars().take(64).take_while(|c| *c != '\n').collect();
            let length = window.find(close)?;
            let word = &window[..length];
            let before = text[..start].chars().next_back();
            let after = text[inside + length + close.len()..].chars().next();
            let stands_alone = ![before, after].into_iter().flatten().any(char::is_alphanumeric);
            (stands_alone && is_placeholder_word(word)).then(|| start..inside + length + close.len())
        })
    })
}

fn is_placeholder_word(word: &str) -> bool {
    word.chars().count() >= 2
        && word.starts_with(char::is_alphabetic)
        && word.ends_with(char::is_alphanumeric)
        && word.chars().all(|c| c.is_alphanumeric() || " _-'./".contains(c))
}

/// Whether the text holds a placeholder, so that it is no value yet.
pub(super) fn has_placeholder(text: &str) -> bool {
    placeholders(text).next().is_some()
}
