//! The line that a finding is about, with every secret masked, and where in it the finding is.

use std::collections::BTreeMap;
use std::ops::Range;

use super::finding::{Excerpt, Finding};
use super::secrets;
use crate::console::window::window;
use crate::secret::Secrets;

/// The longest excerpt, in characters; a longer line is cut on both sides of the place.
const LONGEST: usize = 200;

/// What stands for each character of a secret.
const MASK: char = '*';

/// What is looked up once for all findings of a file.
struct File<'t> {
    secrets: Vec<Range<usize>>,
    lines: Vec<&'t str>,
    is_json: bool,
}

/// Gives each finding about a place in one of the `texts` its excerpt. Secrets must have been made known before.
pub(super) fn attach(findings: &mut [Finding], texts: &BTreeMap<String, String>, known: &Secrets) {
    let mut looked_at: BTreeMap<&str, File<'_>> = BTreeMap::new();
    for finding in findings {
        let (Some(position), Some((file, text))) = (finding.position, texts.get_key_value(&finding.file))
        else {
            continue;
        };
        let file = looked_at.entry(file).or_insert_with(|| File {
            secrets: known.places(text),
            lines: text.split('\n').collect(),
            is_json: text.trim_start().starts_with(['{', '[']),
        });
        let Some(line) = file.lines.get(position.line - 1) else { continue };
        let start = line.as_ptr() as usize - text.as_ptr() as usize;
        finding.excerpt = Some(excerpt(line, start, &file.secrets, position.column, file.is_json));
    }
}

fn excerpt(line: &str, start: usize, secrets: &[Range<usize>], column: usize, is_json: bool) -> Excerpt {
    let mut guessed = secrets::places_in_line(line);
    if is_json {
        guessed.extend(secrets::values_in_line(line));
    }
    let first = secrets.partition_point(|range| range.end <= start);
    let near = secrets.get(first..).unwrap_or_default();
    let near = &near[..near.partition_point(|range| range.start < start + line.len())];
    // Only what may be shown is looked at: a line may have a megabyte.
    let from = column.saturating_sub(1 + LONGEST);
    let mut text = Vec::new();
    let mut at_secret = 0;
    for (at, c) in line.char_indices().skip(from).take(3 * LONGEST) {
        while near.get(at_secret).is_some_and(|range| range.end <= start + at) {
            at_secret += 1;
        }
        let hidden = near.get(at_secret).is_some_and(|range| range.start <= start + at)
            || guessed.iter().any(|range| range.contains(&at));
        text.push(match c {
            _ if hidden => MASK,
            c if c.is_control() || c.is_whitespace() || is_invisible(c) => ' ',
            c => c,
        });
    }
    let shown = window(&text, column - 1 - from, LONGEST, 1);
    let is_cut = from + shown.start > 0;
    let place = column - from - shown.start + usize::from(is_cut);
    let after = if shown.end < text.len() { "…" } else { "" };
    let part: String = text.get(shown).unwrap_or_default().iter().collect();
    Excerpt { text: format!("{}{part}{after}", if is_cut { "…" } else { "" }), column: place }
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}' | '\u{feff}')
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_masked_and_the_place_stays() {
        let line = "export A='mongodb://circle:p@ss:w@host/db?x=1'";
        let secret = 27..33;
        let found = excerpt(line, 0, std::slice::from_ref(&secret), 29, false);
        assert_eq!(found.text, "export A='mongodb://circle:******@host/db?x=1'");
        assert_eq!(found.column, 29);
        // Also one that nobody has made known.
        assert_eq!(excerpt(line, 0, &[], 29, false), found);
    }

    #[test]
    fn a_value_in_json_is_masked_unless_its_key_is_known_to_hold_plain_words() {
        for (line, shown) in [
            (r#"  "LogLevel": "debug","#, r#"  "LogLevel": "debug","#),
            (r#"  "DaemonAuthenticationType": "hunter2","#, r#"  "DaemonAuthenticationType": "*******","#),
            (
                r#"  "DaemonAuthenticationType": "anonymous","#,
                r#"  "DaemonAuthenticationType": "anonymous","#,
            ),
            (r#"  "Channel": "p@ss","#, r#"  "Channel": "****","#),
            (
                r#"{"a": 1, "b": true, "c": "x", "d": hunter2"#,
                r#"{"a": 1, "b": true, "c": "*", "d": *******"#,
            ),
            (r#"  "value": "<bucket name>""#, r#"  "value": "<bucket name>""#),
            ("  \"value\": \"unclosed", "  \"value\": \"********"),
            ("  “a”: “hunter2”", "  “a”: “*******”"),
        ] {
            assert_eq!(excerpt(line, 0, &[], 1, true).text, shown);
        }
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let line = format!("{}X{}", "a".repeat(500), "b".repeat(500));
        let found = excerpt(&line, 0, &[], 501, false);
        assert!(found.text.chars().count() <= LONGEST);
        assert_eq!(found.text.chars().nth(found.column - 1), Some('X'));
        assert!(found.text.starts_with('…') && found.text.ends_with('…'), "{}", found.text);
        let found = excerpt("short", 0, &[], 9, false);
        assert_eq!((found.text.as_str(), found.column), ("short", 9));
        assert_eq!(excerpt("a\tb\u{200b}c\r", 0, &[], 1, false).text, "a b c ");
    }
}
