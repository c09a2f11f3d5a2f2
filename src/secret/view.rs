//! A text as it reads once its escapes are undone, with the way back to where each byte came from.

use std::borrow::Cow;
use std::ops::Range;

/// The longest escape, in bytes: `&#x10FFFF;` and `\u{10FFFF}`.
const LONGEST: usize = 12;

/// One piece of a view. A literal piece is as long as what it came from.
#[derive(Clone)]
struct Span {
    /// Where it begins in the view.
    at: usize,
    /// What it came from.
    from: Range<usize>,
    is_literal: bool,
}

pub(super) struct View<'t> {
    bytes: Cow<'t, [u8]>,
    /// In order; empty where the view is the text itself.
    spans: Vec<Span>,
}

impl<'t> View<'t> {
    pub(super) fn raw(text: &'t str) -> Self {
        View { bytes: Cow::Borrowed(text.as_bytes()), spans: Vec::new() }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where a range of the view came from; `None` for an empty one.
    pub(super) fn original(&self, range: Range<usize>) -> Option<Range<usize>> {
        if range.is_empty() {
            return None;
        }
        Some(self.origin(range.start).start..self.origin(range.end - 1).end)
    }

    /// What one byte of the view came from.
    fn origin(&self, at: usize) -> Range<usize> {
        let after = self.spans.partition_point(|span| span.at <= at);
        match after.checked_sub(1).and_then(|index| self.spans.get(index)) {
            None => at..at + 1,
            Some(span) if span.is_literal => {
                let start = span.from.start + (at - span.at);
                start..start + 1
            }
            Some(span) => span.from.clone(),
        }
    }

    /// The view with one level of escapes undone: percent, JSON and other backslashes, XML; and without line breaks,
    /// escape sequences of terminals, and characters that do not show. `None` if it has none of them.
    pub(super) fn decoded(&self) -> Option<View<'static>> {
        let is_special = |byte: &u8| matches!(byte, b'%' | b'\\' | b'&') || *byte < 0x20 || *byte >= 0x7f;
        let bytes = self.bytes();
        let first = bytes.iter().position(is_special)?;
        let mut decoded = View { bytes: Cow::Owned(Vec::with_capacity(bytes.len())), spans: Vec::new() };
        let mut copied = 0;
        let mut at = first;
        while at < bytes.len() {
            if let Some((length, meaning)) = escape(&bytes[at..]) {
                decoded.push_literal(self, copied..at);
                decoded.push_escape(self, at..at + length, meaning.as_bytes());
                at += length;
                copied = at;
            } else {
                at += 1;
            }
            at += bytes[at..].iter().position(is_special).unwrap_or(bytes.len() - at);
        }
        let changed = copied > 0;
        decoded.push_literal(self, copied..bytes.len());
        changed.then_some(decoded)
    }

    fn push_literal(&mut self, source: &View<'_>, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        let at = self.bytes.len();
        self.bytes.to_mut().extend_from_slice(&source.bytes[range.clone()]);
        if source.spans.is_empty() {
            self.spans.push(Span { at, from: range, is_literal: true });
            return;
        }
        let first = source.spans.partition_point(|span| span.at <= range.start).saturating_sub(1);
        for (index, span) in
            source.spans.iter().enumerate().skip(first).take_while(|(_, span)| span.at < range.end)
        {
            let next = source.spans.get(index + 1).map_or(source.bytes.len(), |next| next.at);
            let (start, end) = (span.at.max(range.start), next.min(range.end));
            if start < end {
                let from = match span.is_literal {
                    true => span.from.start + (start - span.at)..span.from.start + (end - span.at),
                    false => span.from.clone(),
                };
                self.spans.push(Span { at: at + (start - range.start), from, is_literal: span.is_literal });
            }
        }
    }

    fn push_escape(&mut self, source: &View<'_>, range: Range<usize>, meaning: &[u8]) {
        if meaning.is_empty() {
            return;
        }
        let from = source.origin(range.start).start..source.origin(range.end - 1).end;
        self.spans.push(Span { at: self.bytes.len(), from, is_literal: false });
        self.bytes.to_mut().extend_from_slice(meaning);
    }
}

/// The meaning of one escape.
struct Meaning {
    bytes: [u8; 4],
    length: usize,
}

impl Meaning {
    const NOTHING: Meaning = Meaning { bytes: [0; 4], length: 0 };

    fn byte(byte: u8) -> Self {
        Meaning { bytes: [byte, 0, 0, 0], length: 1 }
    }

    /// Of a character that is written by an escape. One that does not show means nothing.
    fn character(c: char) -> Self {
        if c.is_control() || super::plain::is_invisible(c) {
            return Meaning::NOTHING;
        }
        let mut bytes = [0; 4];
        let length = c.encode_utf8(&mut bytes).len();
        Meaning { bytes, length }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// The escape at the start of some bytes: its length and what it means.
fn escape(bytes: &[u8]) -> Option<(usize, Meaning)> {
    match bytes {
        [b'%', high, low, ..] => {
            let value = hexadecimal(&[*high, *low])?;
            Some((3, Meaning::byte(u8::try_from(value).ok()?)))
        }
        [b'\\', b'\r' | b'\n', ..] => Some((1 + break_length(&bytes[1..]), Meaning::NOTHING)),
        [b'\\', rest @ ..] => backslash(rest),
        [b'&', rest @ ..] => entity(rest),
        [b'\r' | b'\n', ..] => Some((break_length(bytes), Meaning::NOTHING)),
        [0x1b, rest @ ..] => Some((1 + sequence_length(rest), Meaning::NOTHING)),
        [byte, ..] if *byte < 0x20 || *byte == 0x7f => Some((1, Meaning::NOTHING)),
        [byte, ..] if *byte >= 0x80 => {
            let head = &bytes[..bytes.len().min(4)];
            let valid = head.utf8_chunks().next()?.valid();
            let c = valid.chars().next().filter(|c| c.is_control() || super::plain::is_invisible(*c))?;
            Some((c.len_utf8(), Meaning::NOTHING))
        }
        _ => None,
    }
}

/// The length of a line break with the blanks that indent the next line.
fn break_length(bytes: &[u8]) -> usize {
    let breaks = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    breaks + bytes[breaks..].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count()
}

/// The length of what follows an escape character: a control sequence ends with its first letter.
fn sequence_length(rest: &[u8]) -> usize {
    let [b'[', parameters @ ..] = rest else { return 0 };
    let length = parameters.iter().take(32).take_while(|byte| matches!(byte, b' '..=b'?')).count();
    1 + length + usize::from(parameters.get(length).is_some_and(|byte| matches!(byte, b'@'..=b'~')))
}

fn backslash(rest: &[u8]) -> Option<(usize, Meaning)> {
    match rest {
        [b'u', b'{', digits @ ..] => {
            let end = digits.iter().take(LONGEST).position(|byte| *byte == b'}')?;
            let c = char::from_u32(hexadecimal(&digits[..end])?)?;
            let length = 3 + end + 1;
            let sequence = if c == '\u{1b}' { sequence_length(&rest[length - 1..]) } else { 0 };
            Some((length + sequence, Meaning::character(c)))
        }
        [b'u', digits @ ..] => {
            let first = hexadecimal(digits.get(..4)?)?;
            let second =
                digits.get(4..6).filter(|it| *it == b"\\u").and_then(|_| hexadecimal(digits.get(6..10)?));
            let pair =
                second.filter(|low| (0xdc00..0xe000).contains(low) && (0xd800..0xdc00).contains(&first));
            match pair {
                Some(low) => {
                    let c = char::from_u32(0x10000 + ((first - 0xd800) << 10) + (low - 0xdc00))?;
                    Some((12, Meaning::character(c)))
                }
                None => Some((6, Meaning::character(char::from_u32(first)?))),
            }
        }
        [b'x', high, low, ..] => {
            let value = u8::try_from(hexadecimal(&[*high, *low])?).ok()?;
            Some((4, if value < 0x80 { Meaning::character(char::from(value)) } else { Meaning::byte(value) }))
        }
        [b'n' | b'r' | b't' | b'b' | b'f', ..] => Some((2, Meaning::NOTHING)),
        [byte @ (b'"' | b'\'' | b'\\' | b'/' | b'$' | b'`'), ..] => Some((2, Meaning::byte(*byte))),
        _ => None,
    }
}

fn entity(rest: &[u8]) -> Option<(usize, Meaning)> {
    let end = rest.iter().take(LONGEST).position(|byte| *byte == b';')?;
    let c = match &rest[..end] {
        b"amp" => '&',
        b"lt" => '<',
        b"gt" => '>',
        b"quot" => '"',
        b"apos" => '\'',
        b"nbsp" => ' ',
        [b'#', b'x' | b'X', digits @ ..] => char::from_u32(hexadecimal(digits)?)?,
        [b'#', digits @ ..] => char::from_u32(std::str::from_utf8(digits).ok()?.parse().ok()?)?,
        _ => return None,
    };
    Some((1 + end + 1, Meaning::character(c)))
}

fn hexadecimal(digits: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(digits).ok()?;
    if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u32::from_str_radix(text, 16).ok()
}
