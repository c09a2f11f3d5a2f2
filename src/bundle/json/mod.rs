//! A JSON reader for files that people edit: it keeps the place of everything, names the classic slips one by one and
//! reads on after them, so that one look at a file shows all of them.
//!
//! A text without any [`SyntaxError`] is JSON by RFC 8259, with unique keys. Go's decoder, which reads these files on the box,
//! keeps the last of two equal keys where the installer's `grep` finds both; nobody means that, so it is a slip too.

mod findings;
mod tokens;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;

use std::collections::BTreeSet;

pub(super) use findings::read_object;
pub(super) use tokens::closing_quote;

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
pub(super) enum JsonError {
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

impl JsonError {
    /// Whether reading ends here, since what follows cannot be told.
    fn is_fatal(self) -> bool {
        matches!(
            self,
            JsonError::UnterminatedString
                | JsonError::TooDeep
                | JsonError::Truncated
                | JsonError::Unexpected
                | JsonError::Trailing
        )
    }
}

/// A [`JsonError`] and the byte offset where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SyntaxError {
    pub(super) at: usize,
    pub(super) flaw: JsonError,
}

/// What the text says, as far as it can be made out, and everything that is not JSON about it.
pub(super) struct Parsed {
    pub(super) value: Option<Value>,
    pub(super) slips: Vec<SyntaxError>,
}

/// Whether Go's encoding/json, by which Replicated reads its files, takes `key` for the field `name`, which is ASCII: the
/// case does not matter, and the Kelvin sign and the long s fold to letters too.
pub(super) fn same_key(name: &str, key: &str) -> bool {
    let fold = |c: char| match c {
        '\u{212a}' => 'k',
        '\u{17f}' => 's',
        c => c.to_ascii_lowercase(),
    };
    name.chars().map(fold).eq(key.chars().map(fold))
}

/// Reads a whole text.
pub(super) fn read(text: &str) -> Parsed {
    let mut reader = Reader { text, at: 0, depth: 0, slips: Vec::new() };
    let value = reader.document();
    reader.slips.sort_by_key(|slip| slip.at);
    Parsed { value: value.ok(), slips: reader.slips }
}

/// Reading has ended; the reason is the last slip.
struct Stop;

struct Reader<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
    slips: Vec<SyntaxError>,
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

    fn slip(&mut self, at: usize, flaw: JsonError) -> Result<(), Stop> {
        self.slips.push(SyntaxError { at, flaw });
        if flaw.is_fatal() || self.slips.len() >= MOST_SLIPS { Err(Stop) } else { Ok(()) }
    }

    fn stop<T>(&mut self, at: usize, flaw: JsonError) -> Result<T, Stop> {
        self.slips.push(SyntaxError { at, flaw });
        Err(Stop)
    }

    fn document(&mut self) -> Result<Value, Stop> {
        self.space()?;
        let value = self.value()?;
        self.space()?;
        if self.at < self.text.len() {
            // What was read is whole; the rest is worth a word and nothing more.
            self.slips.push(SyntaxError { at: self.at, flaw: JsonError::Trailing });
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
            self.slip(self.at, JsonError::Comment)?;
            self.at += length;
        }
    }

    fn value(&mut self) -> Result<Value, Stop> {
        let at = self.at;
        let node = match self.peek() {
            None => return self.stop(at, JsonError::Truncated),
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
                    self.slip(at, JsonError::BareWord)?;
                    Node::String(word)
                }
            },
            Some(_) => return self.stop(at, JsonError::Unexpected),
        };
        Ok(Value { at, node })
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Node, Stop>) -> Result<Node, Stop> {
        if self.depth == DEEPEST {
            return self.stop(self.at, JsonError::TooDeep);
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
                    self.slip(at, JsonError::BareKey)?;
                    word
                }
                _ => return self.stop(at, JsonError::Unexpected),
            };
            if !keys.insert(key.clone()) {
                self.slip(at, JsonError::DuplicateKey)?;
            }
            let end_of_key = self.at;
            self.space()?;
            if !self.eat(':') {
                if matches!(self.peek(), None | Some('}' | ']' | ',')) {
                    let flaw =
                        if self.peek().is_none() { JsonError::Truncated } else { JsonError::Unexpected };
                    return self.stop(self.at, flaw);
                }
                self.slip(end_of_key, JsonError::MissingColon)?;
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
            return self.stop(self.at, JsonError::Truncated);
        }
        if first {
            return Ok(true);
        }
        let comma = self.at;
        if self.eat(',') {
            self.space()?;
            if self.eat(closing) {
                self.slip(comma, JsonError::TrailingComma)?;
                return Ok(false);
            }
            if self.peek().is_none() {
                return self.stop(self.at, JsonError::Truncated);
            }
            return Ok(true);
        }
        let begins_another = self
            .peek()
            .is_some_and(|c| closing_quote(c).is_some() || c.is_alphanumeric() || "{[-".contains(c));
        if !begins_another {
            return self.stop(self.at, JsonError::Unexpected);
        }
        self.slip(before, JsonError::MissingComma)?;
        Ok(true)
    }
}
