//! Checks common to all files of a bundle: it is text, it is the file and not an error page, and it has no artifacts of
//! the document that it was pasted from.

use std::borrow::Cow;
use std::ops::Range;

use super::file_name::FileName;
use super::finding::Diagnostics;
use crate::cause::Cause;
use crate::kind::Kind;

/// No file of a bundle comes near this; what is larger is something else.
pub(super) const LARGEST: usize = 1024 * 1024;

/// A file's bytes as text, without its byte order mark, and what is wrong with them before anyone reads them as what they
/// should be. There is no text where there is no reading it.
pub(super) fn decode(name: impl Into<FileName>, bytes: &[u8]) -> (Option<String>, Vec<super::Finding>) {
    let name = name.into();
    let shown = &name.shown;
    if let Some(cause) = not_there(&name, bytes) {
        let mut notes = Diagnostics::new(shown, "");
        notes.error(None, cause);
        return (None, notes.finish());
    }
    let (marked, bytes) = match bytes.strip_prefix(b"\xEF\xBB\xBF") {
        Some(rest) => (true, rest),
        None => (false, bytes),
    };
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(error) => {
            let sound = error.valid_up_to();
            let byte = bytes.get(sound).copied().unwrap_or_default();
            let text = String::from_utf8_lossy(bytes.get(..sound).unwrap_or_default());
            let mut notes = Diagnostics::new(shown, &text);
            let cause = Cause::config(
                Kind::BundleNotUtf8,
                format!(
                    "{shown} is not UTF-8: byte 0x{byte:02x} at offset {}.",
                    sound + if marked { 3 } else { 0 }
                ),
                format!("Convert it, if it is Latin-1: {}", name.converted("iconv -f ISO-8859-1 -t UTF-8")),
            );
            notes.error(sound, cause);
            return (None, notes.finish());
        }
    };
    let mut notes = Diagnostics::new(shown, &text);
    if marked {
        notes.error(
            0,
            Cause::config(
                Kind::BundleByteOrderMark,
                format!(
                    "{shown} begins with a byte order mark (BOM), which neither Replicated nor bash skips."
                ),
                format!("Remove it: {}", name.converted("tail -c +4")),
            ),
        );
    }
    if let Some(at) = text.find('\0') {
        notes.error(
            at,
            Cause::config(
                Kind::BundleNulByte,
                format!("{shown} contains a NUL byte, so it is not a text file."),
                format!("Upload the original {shown} again."),
            ),
        );
    }
    let findings = notes.finish();
    (Some(text), findings)
}

/// Why the bytes are not the file at all.
pub(super) fn not_there(name: &FileName, bytes: &[u8]) -> Option<Cause> {
    let shown = &name.shown;
    if bytes.len() > LARGEST {
        return Some(
            Cause::config(
                Kind::BundleTooLarge,
                format!("{shown} has {} bytes, more than the limit of 1 MiB.", bytes.len()),
                format!("Put the right file in place of {shown} at the source."),
            )
            .with("bytes", bytes.len()),
        );
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Some(Cause::config(
            Kind::BundleEmptyFile,
            format!("{shown} is empty."),
            format!("Upload {shown} to the source again."),
        ));
    }
    utf16(name, bytes).or_else(|| markup_page(shown, bytes))
}

/// UTF-16, with a byte order mark or without: then every other byte of ASCII text is zero.
fn utf16(name: &FileName, bytes: &[u8]) -> Option<Cause> {
    let head = bytes.get(..bytes.len().min(256) & !1).unwrap_or_default();
    let zeros = |first: usize| head.len() >= 4 && head.iter().skip(first).step_by(2).all(|byte| *byte == 0);
    let text = |first: usize| head.iter().skip(first).step_by(2).all(|byte| *byte >= b'\t');
    let encoding = if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
        // The mark says which; a binary file may begin with it as well, but hardly with text after it.
        let of_text =
            |index: usize| head.iter().skip(2 + index).step_by(2).filter(|byte| **byte == 0).count() * 2;
        if bytes[0] == 0xFF && of_text(1) >= head.len().saturating_sub(2) / 2
            || bytes[0] == 0xFE && of_text(0) >= head.len().saturating_sub(2) / 2
        {
            "UTF-16"
        } else {
            return None;
        }
    } else if zeros(1) && text(0) {
        "UTF-16LE"
    } else if zeros(0) && text(1) {
        "UTF-16BE"
    } else {
        return None;
    };
    Some(Cause::config(
        Kind::BundleUtf16,
        format!("{} is encoded in {encoding}, as Windows editors and PowerShell write it.", name.shown),
        format!("Convert it: {}", name.converted(&format!("iconv -f {encoding} -t UTF-8"))),
    ))
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
    let what = if lower.contains("<html") || lower.starts_with("<!doctype html") {
        "an HTML page"
    } else {
        "an XML document"
    };
    let mut cause = Cause::config(
        Kind::BundleMarkupPage,
        format!("{name} is {what}, such as an error or login page saved in place of the file."),
        format!("Download {name} again, check its content, and upload it to the source."),
    );
    for (element, called) in [("code", "code"), ("message", "message"), ("title", "title")] {
        let content = lower.find(&format!("<{element}>")).and_then(|start| {
            let start = start + element.len() + 2;
            let end = start + lower.get(start..)?.find("</")?;
            head.get(start..end)
        });
        if let Some(content) = content {
            cause = cause.with_quote(called, content, 200);
        }
    }
    Some(cause)
}

/// Which placeholders a file can have: to a shell, `${NAME}` is a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Templates {
    Shell,
    Json,
}

/// Finds what documents leave behind, outside the ranges of `comments`.
pub(super) fn pasted(
    notes: &mut Diagnostics<'_>,
    name: impl Into<FileName>,
    text: &str,
    comments: &[Range<usize>],
    templates: Templates,
) {
    let name = name.into();
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
                        Kind::BundleCurlyQuote,
                        format!(
                            "The curly quote {c} is not a quote here; it was probably pasted from a document."
                        ),
                        format!("Replace each curly quote on this line with a straight {straight}."),
                    ),
                );
                notes.taint(at);
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
                        Kind::BundleInvisibleCharacter,
                        format!(
                            "Invisible character U+{:04X}, probably pasted from a document.",
                            u32::from(c)
                        ),
                        format!("Delete it; to locate it: {}", name.given_to("cat -A")),
                    ),
                );
            }
            _ => {}
        }
    }
    let left = match templates {
        Templates::Shell => placeholders(text).collect(),
        Templates::Json => placeholders_in_json(text),
    };
    for at in left.into_iter().filter(|range: &Range<usize>| !commented(range.start)) {
        let placeholder = text.get(at.clone()).unwrap_or_default();
        notes.error(
            at.start,
            Cause::config(
                Kind::BundlePlaceholder,
                format!("The placeholder {placeholder} has not been filled in."),
                format!("Replace {placeholder}, brackets included, with the real value."),
            ),
        );
    }
}

/// Windows line ends; `harmful` where the carriage return becomes part of a value. `text` is the text with them.
pub(super) fn windows_line_ends(
    notes: &mut Diagnostics<'_>,
    name: impl Into<FileName>,
    text: &str,
    harmful: bool,
) {
    let Some(at) = text.find("\r\n") else { return };
    let next_step = format!("Convert it: {}", name.into().converted("tr -d '\\r'"));
    if harmful {
        let sentence = "Lines end in CRLF (Windows), and bash makes each CR part of the value before it.";
        notes.error(at, Cause::config(Kind::BundleCrlf, sentence, next_step));
    } else {
        let sentence = "Lines end in CRLF (Windows); JSON allows that, but other tools may not.";
        notes.warning(at, Cause::config(Kind::BundleCrlf, sentence, next_step));
    }
}

/// The text as it was meant, with Unix line ends. Lines and columns stay what they are.
pub(super) fn unix_line_ends(text: &str) -> Cow<'_, str> {
    if text.contains("\r\n") { Cow::Owned(text.replace("\r\n", "\n")) } else { Cow::Borrowed(text) }
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

/// The same, and what a template engine would have filled in: `${name}`, `{{ name }}`, `<%= name %>`. Replicated's own
/// `{{repl …}}` is none: it fills that in itself.
pub(super) fn placeholders_in_json(text: &str) -> Vec<Range<usize>> {
    const FORMS: [(&str, &str); 3] = [("${", "}"), ("{{", "}}"), ("<%=", "%>")];
    let mut found: Vec<Range<usize>> = placeholders(text).collect();
    for (open, close) in FORMS {
        for (start, _) in text.match_indices(open) {
            let inside = start + open.len();
            let window: String = text[inside..].chars().take(64).take_while(|c| *c != '\n').collect();
            let Some(length) = window.find(close) else { continue };
            let word = window[..length].trim();
            if is_template_word(word) && !word.starts_with("repl ") {
                found.push(start..inside + length + close.len());
            }
        }
    }
    found.sort_by_key(|range| range.start);
    found
}

/// A name, or an expression of names, as templates have them: `postgres_password`, `.Values.host`, `var.host | quote`.
fn is_template_word(word: &str) -> bool {
    word.len() >= 2
        && word.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '.' | '_' | '$'))
        && word.chars().all(|c| c.is_ascii_alphanumeric() || " ._-|[]()\"$".contains(c))
}

fn is_placeholder_word(word: &str) -> bool {
    word.chars().count() >= 2
        && word.starts_with(char::is_alphabetic)
        && word.ends_with(char::is_alphanumeric)
        && word.chars().all(|c| c.is_alphanumeric() || " _-'./".contains(c))
}

/// Whether a value of a JSON file holds a placeholder, so that it is no value yet.
pub(super) fn is_open_in_json(text: &str) -> bool {
    !placeholders_in_json(text).is_empty()
}

/// Whether the text holds a placeholder, so that it is no value yet.
pub(super) fn has_placeholder(text: &str) -> bool {
    placeholders(text).next().is_some()
}
