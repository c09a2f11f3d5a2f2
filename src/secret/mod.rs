//! The secrets that a process knows, and how every output is kept free of them.
//!
//! Secrets are not guessed at: whatever reads one registers it ([`Secrets::register`]), and each sink (terminal, journal,
//! record, report, panic message) passes the free text of what it shows through the same handle. Only free text: kinds,
//! outcomes, ids, keys and numbers are the program's own, and no secret can get into them.
//!
//! There are two sorts of free text. What others say ([`Secrets::foreign`]) is scrubbed of every secret. In a sentence of
//! the program's own ([`Secrets::own`]), a secret that is one of the program's own words is left where it stands as that
//! word: a password `refused` must not make "the server [redacted] the connection" of a sentence, and would be given away
//! by it.

mod forms;
mod input;
pub(crate) mod names;
mod plain;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
pub mod url;
mod view;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

pub use plain::visible;

use forms::Form;
use view::View;

/// The replacement for a secret in the output.
pub const REDACTED: &str = "[redacted]";

/// How every marker begins: a pattern's names its class, `[redacted: cookie]`.
const MARKER: &str = "[redacted";

/// The longest marker, in bytes.
const LONGEST_MARKER: usize = 60;

/// A literal below this length is replaced only where it stands as a word of its own: a password `ab` must not turn
/// every `table` into `t[redacted]le`.
const SHORTEST_ANYWHERE: usize = 4;

/// How much of a line's end is taken for the possible beginning of a secret, in bytes.
const MOST_OF_LINE: usize = 256;

/// How often a text is looked through again after something was taken out of it, which may make a short secret stand
/// alone.
const MOST_PASSES: usize = 8;

/// Every word of the program's own string literals, in lower case and sorted.
static OWN_WORDS: LazyLock<Vec<&str>> =
    LazyLock::new(|| include_str!(concat!(env!("OUT_DIR"), "/words.txt")).lines().collect());

/// The secrets that are known. Cheap to clone; all clones are one. A process makes one, at its front door.
#[derive(Clone, Default)]
pub struct Secrets {
    known: Arc<RwLock<Known>>,
}

#[derive(Default)]
struct Known {
    forms: HashMap<String, Form>,
    /// Built when it is first needed after something became known.
    matcher: Option<Arc<Matcher>>,
}

struct Matcher {
    automaton: AhoCorasick,
    /// How each pattern of the automaton is written.
    forms: Vec<Form>,
    sorted: Vec<String>,
}

/// Who wrote a text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Author {
    Others,
    Program,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}

impl Secrets {
    /// Makes a secret known, in its literal form and in the encodings in which an output may carry it.
    ///
    /// Empty secrets are ignored, and registering one twice has no effect.
    pub fn register(&self, secret: &str) {
        self.register_all([secret]);
    }

    /// [`Secrets::register`] for many at once.
    pub fn register_all<'s>(&self, secrets: impl IntoIterator<Item = &'s str>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        for secret in secrets {
            forms::of(secret, &mut |text, form| {
                if let std::collections::hash_map::Entry::Vacant(entry) = known.forms.entry(text) {
                    entry.insert(form);
                    known.matcher = None;
                }
            });
        }
    }

    /// Makes the encoded forms of a secret known that is not text.
    pub fn register_bytes(&self, secret: &[u8]) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        forms::encoded(secret, &mut |text, form| {
            known.forms.insert(text, form);
        });
        known.matcher = None;
    }

    /// A text that others wrote (a server, a file, a log), fit to be shown: without secrets, and with control characters
    /// made visible.
    pub fn foreign(&self, text: &str) -> String {
        visible(&self.scrub(text)).into_owned()
    }

    /// A sentence of the program's own, with whatever values stand in it, fit to be shown.
    pub fn own(&self, text: &str) -> String {
        visible(&self.scrubbed(text, Author::Program)).into_owned()
    }

    /// The text with every secret replaced by [`REDACTED`]. Scrubbing twice changes nothing.
    pub fn scrub<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.scrubbed(text, Author::Others)
    }

    /// Whether the text contains a secret.
    pub fn is_in(&self, text: &str) -> bool {
        !self.places(text).is_empty()
    }

    /// Where secrets stand in a text, from its start on; none touches another, and none touches a marker.
    pub fn places(&self, text: &str) -> Vec<Range<usize>> {
        self.matcher().map_or_else(Vec::new, |matcher| matcher.places(text, Author::Others))
    }

    /// Whether the end of a line may be the beginning of a secret that goes on in the next one.
    pub fn may_go_on_after(&self, line: &str) -> bool {
        self.matcher().is_some_and(|matcher| matcher.begins_at_end_of(line.trim_end()))
    }

    fn scrubbed<'t>(&self, text: &'t str, author: Author) -> Cow<'t, str> {
        let Some(matcher) = self.matcher() else { return Cow::Borrowed(text) };
        let mut clean = Cow::Borrowed(text);
        for _ in 0..MOST_PASSES {
            let places = matcher.places(&clean, author);
            if places.is_empty() {
                break;
            }
            let mut next = String::with_capacity(clean.len());
            let mut copied = 0;
            for place in places {
                next.push_str(&clean[copied..place.start]);
                next.push_str(REDACTED);
                copied = place.end;
            }
            next.push_str(&clean[copied..]);
            clean = Cow::Owned(next);
        }
        clean
    }

    fn matcher(&self) -> Option<Arc<Matcher>> {
        {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            if known.matcher.is_some() || known.forms.is_empty() {
                return known.matcher.clone();
            }
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.matcher.is_none() {
            known.matcher = Matcher::of(&known.forms).map(Arc::new);
        }
        known.matcher.clone()
    }
}

impl Matcher {
    /// `None` when the patterns exceed 2^32 states, which a bundle limited to megabytes cannot.
    fn of(forms: &HashMap<String, Form>) -> Option<Self> {
        // A DFA, which is the default for few patterns, takes half a minute to build for a few long ones.
        let automaton = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .match_kind(MatchKind::Standard)
            .build(forms.keys())
            .ok()?;
        let mut sorted: Vec<String> = forms.keys().cloned().collect();
        sorted.sort_unstable();
        Some(Matcher { automaton, forms: forms.values().copied().collect(), sorted })
    }

    fn places(&self, text: &str, author: Author) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        let mut view = View::raw(text);
        self.find(&view, text, &mut found);
        // Twice, for what was encoded twice.
        for _ in 0..2 {
            let Some(decoded) = view.decoded() else { break };
            self.find(&decoded, text, &mut found);
            view = decoded;
        }
        if found.is_empty() {
            return found;
        }
        let markers = markers(text);
        found.retain(|place| !markers.iter().any(|it| it.start < place.end && place.start < it.end));
        if author == Author::Program {
            found.retain(|place| !is_own_words(text, place));
        }
        merged(found)
    }

    /// Adds each place where secrets stand in a view of the text.
    fn find(&self, view: &View<'_>, text: &str, found: &mut Vec<Range<usize>>) {
        // Secrets that overlap are one place: a text that repeats itself has as many as it has bytes.
        let mut open = 0..0;
        for hit in self.automaton.find_overlapping_iter(view.bytes()) {
            let Some(place) = view.original(hit.range()) else { continue };
            if open.start <= place.start && place.end <= open.end {
                continue;
            }
            if hit.len() < SHORTEST_ANYWHERE {
                let place = on_boundaries(text, place);
                if place.len() == hit.len() && stands_alone(text, &place) {
                    found.push(place);
                }
                continue;
            }
            let form = self.forms[hit.pattern().as_usize()];
            let place = on_boundaries(text, form.grown(text.as_bytes(), place));
            if place.start < open.end && open.start < place.end {
                open = open.start.min(place.start)..open.end.max(place.end);
            } else {
                found.push(std::mem::replace(&mut open, place));
            }
        }
        found.push(open);
        found.retain(|place| !place.is_empty());
    }

    fn begins_at_end_of(&self, line: &str) -> bool {
        let most = line.len().min(MOST_OF_LINE);
        let tails = (SHORTEST_ANYWHERE..=most).filter_map(|length| line.get(line.len() - length..));
        tails.into_iter().any(|tail| {
            let at = self.sorted.partition_point(|secret| secret.as_str() <= tail);
            self.sorted.get(at).is_some_and(|secret| secret.starts_with(tail))
        })
    }
}

/// Where markers stand in a text that was scrubbed before.
fn markers(text: &str) -> Vec<Range<usize>> {
    let ends = |rest: &str| {
        let inner = rest.get(MARKER.len()..).unwrap_or_default();
        let end = inner.bytes().take(LONGEST_MARKER).position(|byte| byte == b']')?;
        let class = &inner[..end];
        let is_class = class
            .strip_prefix(": ")
            .is_some_and(|it| it.chars().all(|c| c.is_ascii_alphabetic() || c == ' '));
        (class.is_empty() || is_class).then_some(MARKER.len() + end + 1)
    };
    text.match_indices(MARKER).filter_map(|(at, _)| Some(at..at + ends(&text[at..])?)).collect()
}

/// Ranges in order, those that touch each other as one.
fn merged(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_unstable_by_key(|range| (range.start, range.end));
    let mut merged: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// The range, widened to whole characters: a secret in base64 or hexadecimal may end within one.
fn on_boundaries(text: &str, place: Range<usize>) -> Range<usize> {
    let start = (0..=place.start).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let end = (place.end..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    start..end
}

fn stands_alone(text: &str, place: &Range<usize>) -> bool {
    let before = text[..place.start].chars().next_back();
    let after = text[place.end..].chars().next();
    !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
}

/// Whether what stands there is nothing but words of the program's own, and not in the place of a value.
fn is_own_words(text: &str, place: &Range<usize>) -> bool {
    let is_part = |c: char| c.is_alphanumeric();
    let start = text[..place.start].trim_end_matches(is_part).len();
    let end = text.len() - text[place.end..].trim_start_matches(is_part).len();
    // The neighbours belong to the words only where the place ends within them.
    let start = if text[place.start..].starts_with(is_part) { start } else { place.start };
    let end = if text[..place.end].ends_with(is_part) { end } else { place.end };
    let is_value = text[..start].ends_with([':', '=']) || text[end..].starts_with('@');
    let mut words = text[start..end].split(|c: char| !is_part(c)).filter(|word| !word.is_empty()).peekable();
    !is_value && words.peek().is_some() && words.all(is_own_word)
}

fn is_own_word(word: &str) -> bool {
    OWN_WORDS.binary_search(&word.to_lowercase().as_str()).is_ok()
}

/// Every word of the program's own, in lower case.
#[cfg(test)]
pub(crate) fn own_words() -> &'static [&'static str] {
    &OWN_WORDS
}
