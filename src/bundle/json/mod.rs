//! A JSON reader for files that people edit: it keeps the place of everything, names the classic slips one by one and
//! reads on after them, so that one look at a file shows all of them.
//!
//! A text without any [`Slip`] is JSON by RFC 8259, with unique keys. Go's decoder, which reads these files on the box,
//! keeps the last of two equal keys where the installer's `grep` finds both; nobody means that, so it is a slip too.

mod findings;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;

use std::collections::BTreeSet;

pub(super) use findings::read_object;

/// How deep arrays and objects may be nested; the files need three levels.
const DEEPEST: usize = 32;

/// How many slips are worth reading about in one file.
const MOST_SLIPS: usize = 50;

/// A JSON value with its place.
#[derive(Clone, PartialEq)]
pub(super) struct Value {
    /// Byte offset of its first character.
    pub(super) at: usize,
    pub(super) node: Node,
}

#[derive(Clone, PartialEq)]
pub(super) enum Node {
    Null,
    Bool(bool),
    /// As written.
    Number(String),
    String(String),
    Array(Vec<Value>),
    Object(Vec<Member>),
}

impl Node {
    /// What it is, for a sentence.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Node::Null => "null",
            Node::Bool(_) => "a boolean",
            Node::Number(_) => "a number",
            Node::String(_) => "a string",
            Node::Array(_) => "an array",
            Node::Object(_) => "an object",
        }
    }
}

/// One `"key": value` of an object.
#[derive(Clone, PartialEq)]
pub(super) struct Member {
    pub(super) key: String,
    /// Byte offset of the key's opening quote.
    pub(super) at: usize,
    pub(super) value: Value,
}

/// What is not JSON about a text. Every one has its own clear word, given by the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    /// `,` before `}` or `]`.
    TrailingComma,
    /// No `,` between two members or elements.
    MissingComma,
    /// No `:` after a key.
    MissingColon,
    /// `// …`, `# …` or `/* … */`.
    Comment,
    /// `'…'` where `"…"` belongs.
    SingleQuotes,
    /// Typographic quotes as delimiters; reported by the look at characters, never twice.
    CurlyQuotes,
    /// A key without quotes.
    BareKey,
    /// A bare word as value: `yes`, `True`, `debug`.
    BareWord,
    /// `01`, `.5`, `+1`, `1.`.
    Number,
    /// A string that reaches the end of its line.
    UnterminatedString,
    /// A control character, such as a tab, in a string.
    ControlCharacter,
    /// `\` before a character that makes no escape, or half of a surrogate pair.
    Escape,
    /// The same key twice in one object.
    DuplicateKey,
    /// Deeper than this reader goes.
    TooDeep,
    /// The text ends inside a value.
    Truncated,
    /// Anything else where a value, `}` or `]` belongs.
    Unexpected,
    /// Something after the end of the value.
    Trailing,
}

impl Flaw {
    /// Whether reading ends here, since what follows cannot be told.
    fn is_fatal(self) -> bool {
        matches!(
            self,
            Flaw::UnterminatedString | Flaw::TooDeep | Flaw::Truncated | Flaw::Unexpected | Flaw::Trailing
        )
    }
}

/// A [`Flaw`] and the byte offset where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slip {
    pub(super) at: usize,
    pub(super) flaw: Flaw,
}

/// What the text says, as far as it can be made out, and everything that is not JSON about it.
pub(super) struct Reading {
    pub(super) value: Option<Value>,
    pub(super) slips: Vec<Slip>,
}

/// Reads a whole text.
pub(super) fn read(text: &str) -> Reading {
    let mut reader = Reader { text, at: 0, depth: 0, slips: Vec::new() };
    let value = reader.document();
    reader.slips.sort_by_key(|slip| slip.at);
    Reading { value: value.ok(), slips: reader.slips }
}

/// Reading has ended; the reason is the last slip.
struct Stop;

struct Reader<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
    slips: Vec<Slip>,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn advance(&mut self, c: char) {
        self.at += c.len_utf8();
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.advance(wanted);
        }
        found
    }

    fn slip(&mut self, at: usize, flaw: Flaw) -> Result<(), Stop> {
        self.slips.push(Slip { at, flaw });
        if flaw.is_fatal() || self.slips.len() >= MOST_SLIPS { Err(Stop) } else { Ok(()) }
    }

    fn stop<T>(&mut self, at: usize, flaw: Flaw) -> Result<T, Stop> {
        self.slips.push(Slip { at, flaw });
        Err(Stop)
    }

    fn document(&mut self) -> Result<Value, Stop> {
        self.space()?;
        let value = self.value()?;
        self.space()?;
        if self.at < self.text.len() {
            // What was read is whole; the rest is worth a word and nothing more.
            self.slips.push(Slip { at: self.at, flaw: Flaw::Trailing });
        }
        Ok(value)
    }

    /// Skips white space, and comments with a slip.
    fn space(&mut self) -> Result<(), Stop> {
        loop {
            let rest = &self.text[self.at..];
            let trimmed = rest.trim_start_matches([' ', '\t', '\n', '\r']);
            self.at = self.text.len() - trimmed.len();
            let length = if trimmed.starts_with("//") || trimmed.starts_with('#') {
                trimmed.find('\n').unwrap_or(trimmed.len())
            } else if let Some(inner) = trimmed.strip_prefix("/*") {
                inner.find("*/").map_or(trimmed.len(), |end| end + 4)
            } else {
                return Ok(());
            };
            self.slip(self.at, Flaw::Comment)?;
            self.at += length;
        }
    }

    fn value(&mut self) -> Result<Value, Stop> {
        let at = self.at;
        let node = match self.peek() {
            None => return self.stop(at, Flaw::Truncated),
            Some('{') => self.nested(Self::object)?,
            Some('[') => self.nested(Self::array)?,
            Some(c) if closing_quote(c).is_some() => Node::String(self.string()?),
            Some(c) if c.is_ascii_digit() || matches!(c, '-' | '+' | '.') => self.number()?,
            Some(c) if c.is_alphabetic() => match self.word() {
                "null" => Node::Null,
                "true" => Node::Bool(true),
                "false" => Node::Bool(false),
                word => {
                    let word = word.to_owned();
                    self.slip(at, Flaw::BareWord)?;
                    Node::String(word)
                }
            },
            Some(_) => return self.stop(at, Flaw::Unexpected),
        };
        Ok(Value { at, node })
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Node, Stop>) -> Result<Node, Stop> {
        if self.depth == DEEPEST {
            return self.stop(self.at, Flaw::TooDeep);
        }
        self.depth += 1;
        self.at += 1;
        let node = read(self);
        self.depth -= 1;
        node
    }

    fn object(&mut self) -> Result<Node, Stop> {
        let mut members: Vec<Member> = Vec::new();
        let mut keys = BTreeSet::new();
        while self.goes_on('}', members.is_empty())? {
            let at = self.at;
            let key = match self.peek() {
                Some(c) if closing_quote(c).is_some() => self.string()?,
                Some(c) if c.is_alphabetic() || c == '_' => {
                    let word = self.word().to_owned();
                    self.slip(at, Flaw::BareKey)?;
                    word
                }
                _ => return self.stop(at, Flaw::Unexpected),
            };
            if !keys.insert(key.clone()) {
                self.slip(at, Flaw::DuplicateKey)?;
            }
            let end_of_key = self.at;
            self.space()?;
            if !self.eat(':') {
                if matches!(self.peek(), None | Some('}' | ']' | ',')) {
                    let flaw = if self.peek().is_none() { Flaw::Truncated } else { Flaw::Unexpected };
                    return self.stop(self.at, flaw);
                }
                self.slip(end_of_key, Flaw::MissingColon)?;
                self.eat('=');
            }
            self.space()?;
            let value = self.value()?;
            members.push(Member { key, at, value });
        }
        Ok(Node::Object(members))
    }

    fn array(&mut self) -> Result<Node, Stop> {
        let mut elements = Vec::new();
        while self.goes_on(']', elements.is_empty())? {
            elements.push(self.value()?);
        }
        Ok(Node::Array(elements))
    }

    /// Moves to the next member or element; `false` once the closing bracket has been passed.
    fn goes_on(&mut self, closing: char, first: bool) -> Result<bool, Stop> {
        let before = self.at;
        self.space()?;
        if self.eat(closing) {
            return Ok(false);
        }
        if self.peek().is_none() {
            return self.stop(self.at, Flaw::Truncated);
        }
        if first {
            return Ok(true);
        }
        let comma = self.at;
        if self.eat(',') {
            self.space()?;
            if self.eat(closing) {
                self.slip(comma, Flaw::TrailingComma)?;
                return Ok(false);
            }
            if self.peek().is_none() {
                return self.stop(self.at, Flaw::Truncated);
            }
            return Ok(true);
        }
        let begins_another = self
            .peek()
            .is_some_and(|c| closing_quote(c).is_some() || c.is_alphanumeric() || "{[-".contains(c));
        if !begins_another {
            return self.stop(self.at, Flaw::Unexpected);
        }
        self.slip(before, Flaw::MissingComma)?;
        Ok(true)
    }

    fn word(&mut self) -> &str {
        let rest = &self.text[self.at..];
        let length =
            rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    fn number(&mut self) -> Result<Node, Stop> {
        let at = self.at;
        let rest = &self.text[at..];
        let length = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')))
            .unwrap_or(rest.len());
        let number = rest[..length].to_owned();
        self.at += length;
        if !is_number(&number) {
            self.slip(at, Flaw::Number)?;
        }
        Ok(Node::Number(number))
    }

    fn string(&mut self) -> Result<String, Stop> {
        let start = self.at;
        let mut closing = '"';
        if let Some(open) = self.peek() {
            self.advance(open);
            closing = closing_quote(open).unwrap_or('"');
            match open {
                '"' => {}
                '\'' => self.slip(start, Flaw::SingleQuotes)?,
                _ => self.slip(start, Flaw::CurlyQuotes)?,
            }
        }
        let mut content = String::new();
        loop {
            let at = self.at;
            let Some(c) = self.peek() else { return self.stop(start, Flaw::UnterminatedString) };
            self.advance(c);
            match c {
                _ if c == closing => return Ok(content),
                // A curly-quoted string is often closed by the wrong one of the pair.
                '“' | '”' | '"' if closing == '”' => return Ok(content),
                '\n' | '\r' => return self.stop(start, Flaw::UnterminatedString),
                '\\' => self.escape(at, &mut content)?,
                _ => {
                    if c < ' ' {
                        self.slip(at, Flaw::ControlCharacter)?;
                    }
                    content.push(c);
                }
            }
        }
    }

    fn escape(&mut self, at: usize, content: &mut String) -> Result<(), Stop> {
        let Some(c) = self.peek() else { return self.stop(at, Flaw::Truncated) };
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
                self.slip(at, Flaw::Escape)?;
                c
            }
        });
        Ok(())
    }

    fn unicode_escape(&mut self, at: usize, content: &mut String) -> Result<(), Stop> {
        let Some(first) = self.four_digits() else { return self.slip(at, Flaw::Escape) };
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
            None => self.slip(at, Flaw::Escape)?,
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
pub(super) fn closing_quote(open: char) -> Option<char> {
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
