//! In which forms a secret is looked for.
//!
//! Escapes (percent, JSON, XML, line breaks) are undone in the text ([`super::view`]), whichever characters they were used
//! for. What cannot be undone without knowing where it begins is a form here: base64, also where the secret stands in the
//! middle of what was encoded, and hexadecimal.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::percent_decode_str;

use crate::digest::hex;

/// A shorter secret has no encoded forms: they would be found anywhere.
const SHORTEST_ENCODED: usize = 4;

/// A shorter one is not looked for in the middle of what was encoded.
const SHORTEST_WITHIN: usize = 6;

/// How much of a long secret is encoded; what is found grows over the rest. A multiple of three.
const ENCODED: usize = 48;

/// How long programs make lines of base64: PEM, MIME.
const WRAPPED_AT: [usize; 2] = [64, 76];

/// The shortest line of a text of several lines (a key) that is a secret by itself.
const SHORTEST_LINE: usize = 8;

/// How a secret is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Literal,
    Base64,
    Hexadecimal,
}

impl Form {
    /// What was found, with the rest of what was encoded with it: up to the end of the line, and beyond where that is as
    /// long as lines of base64 are made.
    pub(super) fn grown(self, text: &[u8], found: Range<usize>) -> Range<usize> {
        let belongs = |byte: &&u8| match self {
            Form::Literal => false,
            // Its own characters may be escaped in turn.
            Form::Base64 => byte.is_ascii_alphanumeric() || b"+/-_=%\\".contains(byte),
            Form::Hexadecimal => byte.is_ascii_hexdigit(),
        };
        let start = found.start - text[..found.start].iter().rev().take_while(belongs).count();
        let mut end = found.end;
        let mut line = start;
        loop {
            end += text[end..].iter().take_while(belongs).count();
            let length = end - line;
            let next = text[end..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            if self != Form::Base64 || next == 0 || !WRAPPED_AT.contains(&length) {
                return start..end;
            }
            end += next;
            line = end;
        }
    }
}

/// Gives every form of a secret, and of what it means if it was given percent-encoded.
pub(super) fn of(secret: &str, each: &mut dyn FnMut(String, Form)) {
    let decoded = percent_decode_str(secret).decode_utf8().ok();
    let literals = std::iter::once(secret).chain(decoded.as_deref().filter(|decoded| *decoded != secret));
    for literal in literals.filter(|literal| !literal.trim().is_empty()) {
        each(literal.to_owned(), Form::Literal);
        if literal.contains(' ') {
            each(literal.replace(' ', "+"), Form::Literal);
        }
        // Where escapes are undone, what does not show is left out.
        let shown: String =
            literal.chars().filter(|c| !c.is_control() && !super::plain::is_invisible(*c)).collect();
        if shown != literal && !shown.trim().is_empty() {
            each(shown, Form::Literal);
        }
        if literal.contains('\n') {
            let lines = literal.lines().map(str::trim);
            let telling = lines.filter(|line| line.len() >= SHORTEST_LINE && !line.starts_with("-----"));
            telling.for_each(|line| each(line.to_owned(), Form::Literal));
        }
        encoded(literal.as_bytes(), each);
    }
}

/// The encoded forms alone.
pub(super) fn encoded(secret: &[u8], each: &mut dyn FnMut(String, Form)) {
    if secret.len() < SHORTEST_ENCODED {
        return;
    }
    let start = &secret[..secret.len().min(ENCODED)];
    let lower = hex(start);
    each(lower.to_uppercase(), Form::Hexadecimal);
    each(lower, Form::Hexadecimal);
    for shift in 0..3 {
        if shift > 0 && secret.len() < SHORTEST_WITHIN {
            break;
        }
        let mut shifted = vec![0; shift];
        shifted.extend_from_slice(start);
        // A character is the secret's own when each of its six bits is.
        let first = (shift * 8).div_ceil(6);
        let last = if shift == 0 && start.len() == secret.len() { usize::MAX } else { shifted.len() * 8 / 6 };
        for text in [STANDARD_NO_PAD.encode(&shifted), URL_SAFE_NO_PAD.encode(&shifted)] {
            let own = &text[first..last.min(text.len())];
            each(own.to_owned(), Form::Base64);
        }
        if shift == 0 {
            // Followed by something else, its last character is another.
            let own = shifted.len() * 8 / 6;
            each(STANDARD_NO_PAD.encode(&shifted)[..own].to_owned(), Form::Base64);
            each(URL_SAFE_NO_PAD.encode(&shifted)[..own].to_owned(), Form::Base64);
        }
    }
}
