//! Strings, numbers and bare words.

use super::{JsonError, Node, Reader, Stop};

impl Reader<'_> {
    pub(super) fn word(&mut self) -> &str {
        let rest = &self.text[self.at..];
        let length =
            rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    pub(super) fn number(&mut self) -> Result<Node, Stop> {
        let at = self.at;
        let rest = &self.text[at..];
        let length = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')))
            .unwrap_or(rest.len());
        let number = rest[..length].to_owned();
        self.at += length;
        if !is_number(&number) {
            self.slip(at, JsonError::Number)?;
        }
        Ok(Node::Number(number))
    }

    pub(super) fn string(&mut self) -> Result<String, Stop> {
        let start = self.at;
        let mut closing = '"';
        if let Some(open) = self.peek() {
            self.advance(open);
            closing = closing_quote(open).unwrap_or('"');
            match open {
                '"' => {}
                '\'' => self.slip(start, JsonError::SingleQuotes)?,
                _ => self.slip(start, JsonError::CurlyQuotes)?,
            }
        }
        let mut content = String::new();
        loop {
            let at = self.at;
            let Some(c) = self.peek() else { return self.stop(start, JsonError::UnterminatedString) };
            self.advance(c);
            match c {
                _ if c == closing => return Ok(content),
                // A curly-quoted string is often closed by the wrong one of the pair.
                '“' | '”' | '"' if closing == '”' => return Ok(content),
                '\n' | '\r' => return self.stop(start, JsonError::UnterminatedString),
                '\\' => self.escape(at, &mut content)?,
                _ => {
                    if c < ' ' {
                        self.slip(at, JsonError::ControlCharacter)?;
                    }
                    content.push(c);
                }
            }
        }
    }

    fn escape(&mut self, at: usize, content: &mut String) -> Result<(), Stop> {
        let Some(c) = self.peek() else { return self.stop(at, JsonError::Truncated) };
        self.advance(c);
        content.push(match c {
            '"' | '\\' | '/' => c,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => return self.unicode_escape(at, content),
            _ => {
                self.slip(at, JsonError::Escape)?;
                c
            }
        });
        Ok(())
    }

    fn unicode_escape(&mut self, at: usize, content: &mut String) -> Result<(), Stop> {
        let Some(first) = self.four_digits() else { return self.slip(at, JsonError::Escape) };
        let mut code = first;
        if (0xD800..0xDC00).contains(&first) && self.text[self.at..].starts_with("\\u") {
            let back = self.at;
            self.at += 2;
            match self.four_digits() {
                Some(second) if (0xDC00..0xE000).contains(&second) => {
                    code = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
                }
                _ => self.at = back,
            }
        }
        match char::from_u32(code) {
            Some(c) => content.push(c),
            None => self.slip(at, JsonError::Escape)?,
        }
        Ok(())
    }

    fn four_digits(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).ok()
    }
}

/// The quote that closes what this one opens.
pub(in crate::bundle) fn closing_quote(open: char) -> Option<char> {
    match open {
        '"' => Some('"'),
        '\'' => Some('\''),
        '“' | '”' | '„' => Some('”'),
        '‘' | '’' => Some('’'),
        '«' => Some('»'),
        _ => None,
    }
}

/// RFC 8259's `number`.
fn is_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let text = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|e| digits(e.strip_prefix(['+', '-']).unwrap_or(e)))
}
