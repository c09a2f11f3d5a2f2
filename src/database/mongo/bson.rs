//! The subset of BSON that a climb needs. Decoding never panics or allocates more than a small multiple of the received
//! size.

use std::fmt;

/// Nesting limit; a normal response to a climb's commands has at most six levels.
const DEEPEST: usize = 24;

/// A document: names and values in the order in which they were sent.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Document(Vec<(String, Value)>);

/// One value. Unneeded types are kept as [`Value::Other`].
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Double(f64),
    Text(String),
    Document(Document),
    Array(Vec<Value>),
    Binary(Vec<u8>),
    Bool(bool),
    /// Milliseconds since 1970.
    Time(i64),
    Null,
    Int(i32),
    Long(i64),
    Other,
}

/// Bytes that are not BSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("malformed BSON")
    }
}

impl Document {
    pub(super) fn new() -> Self {
        Document::default()
    }

    #[must_use]
    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.push((name.to_owned(), value.into()));
        self
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_text()
    }

    pub(super) fn document(&self, name: &str) -> Option<&Document> {
        match self.get(name)? {
            Value::Document(document) => Some(document),
            _ => None,
        }
    }

    /// An array's items; none when there is no such array.
    pub(super) fn items(&self, name: &str) -> &[Value] {
        match self.get(name) {
            Some(Value::Array(items)) => items,
            _ => &[],
        }
    }

    /// An array's strings.
    pub(super) fn texts(&self, name: &str) -> Vec<String> {
        self.items(name).iter().filter_map(Value::as_text).map(str::to_owned).collect()
    }

    pub(super) fn binary(&self, name: &str) -> Option<&[u8]> {
        match self.get(name)? {
            Value::Binary(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub(super) fn time(&self, name: &str) -> Option<i64> {
        match self.get(name)? {
            Value::Time(milliseconds) => Some(*milliseconds),
            _ => None,
        }
    }

    /// A number of any type, rounded towards zero.
    pub(super) fn number(&self, name: &str) -> Option<i64> {
        match self.get(name)? {
            Value::Int(number) => Some(i64::from(*number)),
            Value::Long(number) => Some(*number),
            // `as` saturates, which is fine for an absurd number.
            Value::Double(number) => Some(*number as i64),
            _ => None,
        }
    }

    /// A boolean, or a number used as one, such as `ok: 1.0`. False if missing.
    pub(super) fn is(&self, name: &str) -> bool {
        match self.get(name) {
            Some(Value::Bool(truth)) => *truth,
            _ => self.number(name).is_some_and(|number| number != 0),
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode_into(&mut out);
        out
    }

    fn encode_into(&self, out: &mut Vec<u8>) {
        encode_elements(self.0.iter().map(|(name, value)| (name.clone(), value)), out);
    }

    /// Decodes one document that fills `bytes` exactly.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader { rest: bytes };
        let document = reader.document(0)?;
        if reader.rest.is_empty() { Ok(document) } else { Err(Malformed) }
    }
}

fn encode_elements<'a>(elements: impl Iterator<Item = (String, &'a Value)>, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    for (name, value) in elements {
        out.push(value.tag());
        out.extend_from_slice(name.as_bytes());
        out.push(0);
        value.encode_into(out);
    }
    out.push(0);
    let length = length_of(out.len() - start);
    out[start..start + 4].copy_from_slice(&length);
}

/// An encoded length. What the agent sends is far below the 2 GiB limit.
fn length_of(length: usize) -> [u8; 4] {
    i32::try_from(length).unwrap_or(i32::MAX).to_le_bytes()
}

impl Value {
    pub(super) fn as_document(&self) -> Option<&Document> {
        match self {
            Value::Document(document) => Some(document),
            _ => None,
        }
    }

    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    fn tag(&self) -> u8 {
        match self {
            Value::Double(_) => 0x01,
            Value::Text(_) => 0x02,
            Value::Document(_) => 0x03,
            Value::Array(_) => 0x04,
            Value::Binary(_) => 0x05,
            Value::Bool(_) => 0x08,
            Value::Time(_) => 0x09,
            Value::Null | Value::Other => 0x0a,
            Value::Int(_) => 0x10,
            Value::Long(_) => 0x12,
        }
    }

    fn encode_into(&self, out: &mut Vec<u8>) {
        match self {
            Value::Double(number) => out.extend_from_slice(&number.to_le_bytes()),
            Value::Text(text) => {
                out.extend_from_slice(&length_of(text.len() + 1));
                out.extend_from_slice(text.as_bytes());
                out.push(0);
            }
            Value::Document(document) => document.encode_into(out),
            Value::Array(items) => {
                encode_elements(items.iter().enumerate().map(|(at, item)| (at.to_string(), item)), out);
            }
            Value::Binary(bytes) => {
                out.extend_from_slice(&length_of(bytes.len()));
                out.push(0);
                out.extend_from_slice(bytes);
            }
            Value::Bool(truth) => out.push(u8::from(*truth)),
            Value::Time(number) | Value::Long(number) => out.extend_from_slice(&number.to_le_bytes()),
            Value::Int(number) => out.extend_from_slice(&number.to_le_bytes()),
            Value::Null | Value::Other => {}
        }
    }
}

macro_rules! from {
    ($($from:ty => $variant:ident),+ $(,)?) => {$(
        impl From<$from> for Value {
            fn from(value: $from) -> Self {
                Value::$variant(value.into())
            }
        }
    )+};
}
from!(&str => Text, String => Text, i32 => Int, bool => Bool, Document => Document, Vec<u8> => Binary);

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed)
    }

    fn int(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_le_bytes)
    }

    fn long(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_le_bytes)
    }

    fn length(&mut self) -> Result<usize, Malformed> {
        self.int()?.try_into().map_err(|_| Malformed)
    }

    fn name(&mut self) -> Result<String, Malformed> {
        let end = self.rest.iter().position(|byte| *byte == 0).ok_or(Malformed)?;
        let name = self.take(end)?;
        self.take(1)?;
        Ok(String::from_utf8_lossy(name).into_owned())
    }

    fn text(&mut self) -> Result<String, Malformed> {
        let length = self.length()?;
        let bytes = self.take(length)?;
        let (end, text) = bytes.split_last().ok_or(Malformed)?;
        if *end != 0 {
            return Err(Malformed);
        }
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    fn document(&mut self, depth: usize) -> Result<Document, Malformed> {
        if depth > DEEPEST {
            return Err(Malformed);
        }
        let length = self.length()?.checked_sub(4).ok_or(Malformed)?;
        let mut inner = Reader { rest: self.take(length)? };
        let mut document = Document::new();
        loop {
            let [tag] = inner.array()?;
            if tag == 0 {
                return if inner.rest.is_empty() { Ok(document) } else { Err(Malformed) };
            }
            let name = inner.name()?;
            document.0.push((name, inner.value(tag, depth)?));
        }
    }

    fn value(&mut self, tag: u8, depth: usize) -> Result<Value, Malformed> {
        let skipped = match tag {
            0x01 => return Ok(Value::Double(f64::from_le_bytes(self.array()?))),
            0x02 => return Ok(Value::Text(self.text()?)),
            0x03 => return Ok(Value::Document(self.document(depth + 1)?)),
            0x04 => {
                let items = self.document(depth + 1)?.0;
                return Ok(Value::Array(items.into_iter().map(|(_, value)| value).collect()));
            }
            0x05 => {
                let length = self.length()?;
                self.take(1)?;
                return Ok(Value::Binary(self.take(length)?.to_vec()));
            }
            0x08 => return Ok(Value::Bool(self.array::<1>()? != [0])),
            0x09 => return Ok(Value::Time(self.long()?)),
            0x0a => return Ok(Value::Null),
            0x10 => return Ok(Value::Int(self.int()?)),
            0x12 => return Ok(Value::Long(self.long()?)),
            // Undefined, smallest and largest key; object id; timestamp; decimal.
            0x06 | 0x7f | 0xff => 0,
            0x07 => 12,
            0x11 => 8,
            0x13 => 16,
            // Regular expression, code, symbol.
            0x0b => {
                self.name()?;
                self.name()?;
                0
            }
            0x0d | 0x0e => {
                self.text()?;
                0
            }
            _ => return Err(Malformed),
        };
        self.take(skipped)?;
        Ok(Value::Other)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_document_is_written_as_the_specification_says() {
        // The specification's own example.
        let bytes = Document::new().with("hello", "world").encode();
        assert_eq!(bytes, b"\x16\0\0\0\x02hello\0\x06\0\0\0world\0\0");
        assert_eq!(Document::decode(&bytes).unwrap().text("hello"), Some("world"));
    }

    #[test]
    fn what_is_written_is_read() {
        let document = Document::new()
            .with("a", Document::new().with("b", true).with("c", 7))
            .with("list", Value::Array(vec![Value::Null, Value::Double(1.5), "x".into()]))
            .with("bytes", vec![1, 2, 3])
            .with("long", Value::Long(1 << 40))
            .with("at", Value::Time(-1));
        assert_eq!(Document::decode(&document.encode()).unwrap(), document);
        assert_eq!(document.texts("list"), ["x"]);
    }

    #[test]
    fn depth_and_lengths_are_limited() {
        let deep = (0..100).fold(Document::new(), |inner, _| Document::new().with("a", inner));
        assert_eq!(Document::decode(&deep.encode()), Err(Malformed));
        for bytes in [
            &b"\x05\0\0\0"[..],
            b"\xff\xff\xff\x7f\0",
            b"\xff\xff\xff\xff\0",
            b"\x0c\0\0\0\x02a\0\xff\xff\xff\x7f\0",
        ] {
            assert_eq!(Document::decode(bytes), Err(Malformed), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Document::decode(&bytes);
        }

        #[test]
        fn no_damaged_document_makes_it_panic(at in 0usize..60, byte: u8) {
            let mut bytes = Document::new().with("a", Document::new().with("b", "text")).with("c", vec![1; 20]).encode();
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = Document::decode(&bytes);
        }
    }
}
