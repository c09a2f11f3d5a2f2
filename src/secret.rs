//! The known secrets, and the scrubber that keeps them out of every output.
//!
//! Secrets are not guessed at by patterns: whatever reads one ([`register`]) makes it known here as a literal, and each
//! sink (terminal, journal, state file, report, panic message) passes its text through [`scrub`]. The registry is one
//! per process on purpose: a sink that had to be handed a scrubber could be handed none.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use aho_corasick::{AhoCorasick, AhoCorasickKind, Input, MatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// The replacement for a secret in the output.
pub const REDACTED: &str = "[redacted]";

/// A literal below this length is replaced only where it stands as a word of its own: a password `ab` must not turn
/// every `table` into `t[redacted]le`.
const SHORTEST_ANYWHERE: usize = 4;

/// The longest line that the scrubbing writer buffers, in bytes.
const LONGEST_LINE: usize = 64 * 1024;

/// Everything except the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

static REGISTRY: RwLock<Option<Arc<Registry>>> = RwLock::new(None);

struct Registry {
    forms: BTreeSet<String>,
    matcher: AhoCorasick,
    longest: usize,
}

/// Makes a secret known, in its literal form and in every form in which an output may carry it: percent-encoded (and
/// decoded, if it was given encoded), JSON-escaped, base64, and each line of a text of several lines (a PEM key).
///
/// Empty secrets are ignored, and registering one twice has no effect.
pub fn register(secret: &str) {
    register_all([secret]);
}

/// [`register`] for many at once: the matcher is built once, not once for each.
pub fn register_all<'s>(secrets: impl IntoIterator<Item = &'s str>) {
    let mut forms = BTreeSet::new();
    secrets.into_iter().for_each(|secret| forms_of(secret, &mut forms));
    if forms.is_empty() {
        return;
    }
    let mut guard = REGISTRY.write().unwrap_or_else(PoisonError::into_inner);
    if let Some(registry) = guard.as_ref() {
        if forms.is_subset(&registry.forms) {
            return;
        }
        forms.extend(registry.forms.iter().cloned());
    }
    // A DFA, which is the default for few patterns, takes half a minute to build for a few long ones.
    let built = AhoCorasick::builder()
        .kind(Some(AhoCorasickKind::ContiguousNFA))
        .match_kind(MatchKind::LeftmostLongest)
        .build(&forms);
    // Building fails only when the patterns exceed 2^32 states, which a bundle limited to megabytes cannot.
    if let Ok(matcher) = built {
        let longest = forms.iter().map(String::len).max().unwrap_or(0);
        *guard = Some(Arc::new(Registry { forms, matcher, longest }));
    }
}

fn forms_of(secret: &str, forms: &mut BTreeSet<String>) {
    let mut literals = vec![secret.to_owned()];
    if let Ok(decoded) = percent_decode_str(secret).decode_utf8() {
        literals.push(decoded.into_owned());
    }
    if secret.contains('\n') {
        let lines = secret.lines().map(str::trim);
        literals
            .extend(lines.filter(|line| line.len() >= 8 && !line.starts_with("-----")).map(str::to_owned));
    }
    for literal in literals {
        if literal.trim().is_empty() {
            continue;
        }
        let upper = utf8_percent_encode(&literal, RESERVED).to_string();
        forms.insert(lower_case_escapes(&upper));
        forms.insert(upper.replace("%20", "+"));
        forms.insert(upper);
        if let Ok(quoted) = serde_json::to_string(&literal) {
            forms.insert(quoted[1..quoted.len() - 1].to_owned());
        }
        forms.insert(STANDARD.encode(&literal));
        forms.insert(URL_SAFE.encode(&literal));
        forms.insert(literal);
    }
}

fn lower_case_escapes(encoded: &str) -> String {
    let mut in_escape = 0;
    encoded
        .chars()
        .map(|c| {
            if c == '%' {
                in_escape = 2;
                c
            } else if in_escape > 0 {
                in_escape -= 1;
                c.to_ascii_lowercase()
            } else {
                c
            }
        })
        .collect()
}

fn registry() -> Option<Arc<Registry>> {
    REGISTRY.read().unwrap_or_else(PoisonError::into_inner).clone()
}

/// The text with every known secret replaced by [`REDACTED`].
pub fn scrub(text: &str) -> Cow<'_, str> {
    let mut clean = String::new();
    let mut copied = 0;
    for place in places(text) {
        clean.push_str(&text[copied..place.start]);
        clean.push_str(REDACTED);
        copied = place.end;
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    clean.push_str(&text[copied..]);
    Cow::Owned(clean)
}

/// The positions of known secrets in a text, in order and without overlaps.
pub fn places(text: &str) -> Vec<Range<usize>> {
    let Some(registry) = registry() else {
        return Vec::new();
    };
    let mut places = Vec::new();
    let mut at = 0;
    while let Some(found) = registry.matcher.find(Input::new(text).range(at..)) {
        if is_in_marker(text, found.range()) {
            at = found.start() + 1;
        } else if found.len() >= SHORTEST_ANYWHERE || stands_alone(text, found.start(), found.end()) {
            places.push(found.range());
            at = found.end();
        } else {
            // A longer secret may begin within the short one that is none here.
            at = found.start() + 1;
        }
    }
    places
}

/// Whether what was found is a part of [`REDACTED`], as it stands in a text that was scrubbed before: a password
/// `redacted` must not turn the marker into `[[redacted]]`.
fn is_in_marker(text: &str, found: Range<usize>) -> bool {
    // Without the closing bracket, since a pattern's marker goes on: `[redacted: cookie]`.
    let word = REDACTED.trim_end_matches(']');
    let bytes = text.as_bytes();
    (found.start.saturating_sub(word.len() - 1)..=found.start)
        .any(|start| bytes[start..].starts_with(word.as_bytes()) && found.end <= start + REDACTED.len())
}

fn stands_alone(text: &str, start: usize, end: usize) -> bool {
    let before = text[..start].chars().next_back();
    let after = text[end..].chars().next();
    !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
}

/// Replaces every known secret in every string (and object key) of a JSON value.
pub fn scrub_json(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::String(text) => {
            if let Cow::Owned(clean) = scrub(text) {
                *text = clean;
            }
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(scrub_json),
        serde_json::Value::Object(members) => {
            if members.keys().any(|key| matches!(scrub(key), Cow::Owned(_))) {
                let renamed =
                    std::mem::take(members).into_iter().map(|(key, inner)| (scrub(&key).into_owned(), inner));
                members.extend(renamed);
            }
            let free = members.iter_mut().filter(|(name, value)| !is_vocabulary(name, value));
            free.for_each(|(_, value)| scrub_json(value));
        }
        _ => {}
    }
}

/// Whether a member holds a word of this program's own, which no secret can get into and by which other programs decide:
/// a password `quote` must not make `bundle.json_single_quotes` another kind.
fn is_vocabulary(name: &str, value: &serde_json::Value) -> bool {
    let is_word = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.".contains(&byte))
    };
    matches!(name, "kind" | "class" | "severity" | "outcome") && value.as_str().is_some_and(is_word)
}

/// Whether the text contains a known secret.
pub fn is_in(text: &str) -> bool {
    matches!(scrub(text), Cow::Owned(_))
}

/// A writer that scrubs line by line what is written through it.
///
/// A line is held back until its end is known, so that a secret split over two writes is still seen whole; a line
/// longer than 64 KiB is written in pieces that overlap by the longest known secret, for the same reason. Call
/// [`flush`](Write::flush) at the end to write an unfinished line.
pub struct Scrubbing<W: Write> {
    inner: W,
    held: Vec<u8>,
}

impl<W: Write> Scrubbing<W> {
    /// Scrubs what is written to `inner`.
    pub fn new(inner: W) -> Self {
        Scrubbing { inner, held: Vec::new() }
    }

    fn write_scrubbed(&mut self, end: usize) -> io::Result<()> {
        let rest = self.held.split_off(end);
        let piece = std::mem::replace(&mut self.held, rest);
        self.inner.write_all(scrub(&String::from_utf8_lossy(&piece)).as_bytes())
    }
}

impl<W: Write> Write for Scrubbing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.held.extend_from_slice(bytes);
        if let Some(end) = self.held.iter().rposition(|byte| *byte == b'\n') {
            self.write_scrubbed(end + 1)?;
        }
        if self.held.len() > LONGEST_LINE {
            let cut = safe_cut(&self.held);
            self.write_scrubbed(cut)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let end = self.held.len();
        self.write_scrubbed(end)?;
        self.inner.flush()
    }
}

/// Where a line without an end may be cut so that no secret, and no character, is cut in two.
pub(crate) fn safe_cut(held: &[u8]) -> usize {
    let registry = registry();
    let overlap = registry.as_ref().map_or(0, |registry| registry.longest);
    let mut cut = held.len().saturating_sub(overlap).max(1);
    if let Some(registry) = registry {
        for found in registry.matcher.find_iter(held) {
            if found.start() < cut && cut < found.end() {
                cut = found.start().max(1);
            }
        }
    }
    let continues = |byte: &u8| byte & 0b1100_0000 == 0b1000_0000;
    while held.get(cut).is_some_and(continues) {
        cut += 1;
    }
    cut.min(held.len())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_of_the_program_are_no_secrets() {
        register("vocabularyword");
        let mut value = serde_json::json!({
            "kind": "area.vocabularyword", "outcome": "vocabularyword", "detail": "vocabularyword", "class": "Vocabularyword vocabularyword",
        });
        scrub_json(&mut value);
        assert_eq!(value["kind"], "area.vocabularyword");
        assert_eq!(value["outcome"], "vocabularyword");
        assert_eq!(value["detail"], REDACTED);
        assert_eq!(value["class"], format!("Vocabularyword {REDACTED}"));
    }

    #[test]
    fn every_form_of_a_secret_is_replaced() {
        register("p@ss/w:rd \"x\"");
        for form in [
            "p@ss/w:rd \"x\"",
            "p%40ss%2Fw%3Ard%20%22x%22",
            "p%40ss%2fw%3ard%20%22x%22",
            "p%40ss%2Fw%3Ard+%22x%22",
            "p@ss/w:rd \\\"x\\\"",
            &STANDARD.encode("p@ss/w:rd \"x\""),
        ] {
            assert_eq!(scrub(&format!("a {form} b")), format!("a {REDACTED} b"));
        }
    }

    #[test]
    fn scrubbing_twice_changes_nothing_whatever_the_secret() {
        register_all(["redacted", "[redacted]", "dact", "twice-canary"]);
        let once = scrub("it was redacted: twice-canary").into_owned();
        assert_eq!(once, format!("it was {REDACTED}: {REDACTED}"));
        assert_eq!(scrub(&once), once);
    }

    #[test]
    fn a_secret_given_encoded_is_known_decoded() {
        register("enc%2Foded-canary");
        assert_eq!(scrub("enc/oded-canary"), REDACTED);
    }

    #[test]
    fn a_short_secret_is_replaced_as_a_word_only() {
        register("zq7");
        assert_eq!(scrub("password=zq7;"), format!("password={REDACTED};"));
        assert_eq!(scrub("azq7b"), "azq7b");
    }

    #[test]
    fn a_short_secret_that_is_no_word_does_not_hide_a_longer_one() {
        register_all(["qj", "jw-longer-canary"]);
        assert_eq!(scrub("xqjw-longer-canary"), format!("xq{REDACTED}"));
    }

    #[test]
    fn each_line_of_a_key_is_a_secret() {
        register("-----BEGIN KEY-----\nMIIcanaryline1\nMIIcanaryline2\n-----END KEY-----\n");
        assert_eq!(scrub("MIIcanaryline2"), REDACTED);
        assert_eq!(scrub("-----BEGIN KEY-----"), "-----BEGIN KEY-----");
    }

    #[test]
    fn json_keys_and_values_are_scrubbed() {
        register("json-canary");
        let mut value = serde_json::json!({"a": ["json-canary", 1], "json-canary": {"b": "x json-canary"}});
        scrub_json(&mut value);
        assert!(!value.to_string().contains("canary"), "{value}");
    }

    #[test]
    fn an_endless_line_is_written_in_pieces_without_cutting_a_secret() {
        register("endless-line-canary");
        let mut out = Vec::new();
        let mut writer = Scrubbing::new(&mut out);
        for _ in 0..20_000 {
            writer.write_all(b"xendless-line-canary").unwrap();
        }
        assert!(writer.held.len() <= LONGEST_LINE + 64);
        writer.flush().unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(!text.contains("canary"));
        assert_eq!(text.matches(REDACTED).count(), 20_000);
    }

    #[test]
    fn an_endless_line_that_is_not_text_is_cut_beside_a_secret_too() {
        register("binary-line-canary");
        for shift in 0..40 {
            let mut held = vec![0xff; shift];
            held.extend(b"binary-line-canary".repeat(40));
            let cut = safe_cut(&held);
            let (before, after) = held.split_at(cut);
            let shown = format!(
                "{}{}",
                scrub(&String::from_utf8_lossy(before)),
                scrub(&String::from_utf8_lossy(after))
            );
            assert!(!shown.contains("canary") && !shown.contains("binary"), "{shift}: {shown}");
        }
    }

    proptest! {
        #[test]
        fn a_secret_never_survives_in_whatever_pieces_it_is_written(
            before in "[~# ]{0,40}", cuts in proptest::collection::vec(1usize..9, 1..12),
        ) {
            register("split-canary-9");
            let text = format!("{before}split-canary-9 tail\n");
            let mut out = Vec::new();
            let mut writer = Scrubbing::new(&mut out);
            let mut rest = text.as_bytes();
            let mut cuts = cuts.into_iter().cycle();
            while !rest.is_empty() {
                let (piece, next) = rest.split_at(cuts.next().unwrap().min(rest.len()));
                writer.write_all(piece).unwrap();
                rest = next;
            }
            writer.flush().unwrap();
            prop_assert_eq!(String::from_utf8(out).unwrap(), format!("{before}{REDACTED} tail\n"));
        }
    }
}
