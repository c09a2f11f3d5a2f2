//! The part of MongoDB's wire protocol that commands need: OP_QUERY, which every server supports for `isMaster` and
//! those before 5.1 for all commands, and OP_MSG, from 3.6 on.

use std::fmt;
use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::connect::Stream;
use super::bson::{Document, Malformed};

const OP_REPLY: i32 = 1;
const OP_QUERY: i32 = 2004;
const OP_MSG: i32 = 2013;

const HEADER: usize = 16;

/// Reply size limit. A list of privileges has some kilobytes; MongoDB's own limit is 48 MB.
const LONGEST_REPLY: usize = 4 * 1024 * 1024;

/// The lengths that a message of MongoDB can have: a header, and at most 48 MB.
const PLAUSIBLE_LENGTH: std::ops::RangeInclusive<i32> = 16..=48_000_000;

/// The first wire version (MongoDB 3.6) with OP_MSG.
const FIRST_WITH_MSG: i64 = 6;

/// OP_MSG's checksum flag; the other required flag, `moreToCome`, is never requested.
const CHECKSUM_PRESENT: u32 = 1;
const MORE_TO_COME: u32 = 2;

/// Why a command got no response, or an error.
#[derive(Debug)]
pub(super) enum Failure {
    /// The connection broke, or the server closed it.
    Connection(io::Error),
    /// The response is not MongoDB's protocol.
    Foreign(Vec<u8>),
    /// What came back breaks MongoDB's protocol.
    NotMongo(String),
    /// The server answered with an error.
    Refused(Refusal),
}

/// An error that a server answered with.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub(super) code: i64,
    /// The code's name, which servers before 3.4 do not send.
    pub(super) name: String,
    pub(super) message: String,
}

impl Failure {
    /// The code of a refusal.
    pub(super) fn code(&self) -> Option<i64> {
        match self {
            Failure::Refused(refusal) => Some(refusal.code),
            _ => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Connection(error) => error.fmt(f),
            Failure::Foreign(bytes) => write!(f, "a response that begins {}", bytes.escape_ascii()),
            Failure::NotMongo(what) => f.write_str(what),
            Failure::Refused(refusal) => write!(f, "{} ({} {})", refusal.message, refusal.code, refusal.name),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Connection(error)
    }
}

impl From<Malformed> for Failure {
    fn from(malformed: Malformed) -> Self {
        Failure::NotMongo(malformed.to_string())
    }
}

/// A connection that speaks to one server, one command at a time.
///
/// Calls have no timeout. Dropping a pending call leaves the connection unusable, so it must be dropped as well.
pub(super) struct Wire {
    stream: Box<dyn Stream>,
    last_request: i32,
    with_msg: bool,
}

impl Wire {
    pub(super) fn new(stream: Box<dyn Stream>) -> Self {
        Wire { stream, last_request: 0, with_msg: false }
    }

    /// Sends `isMaster`, which every version answers in OP_QUERY; the response decides how everything after it is sent.
    pub(super) async fn hello(&mut self, arguments: Document) -> Result<Document, Failure> {
        let reply = self.query("admin", &arguments).await?;
        self.with_msg = reply.number("maxWireVersion").unwrap_or(0) >= FIRST_WITH_MSG;
        refused(reply)
    }

    /// Runs a command, whose name is the first entry of `command`.
    pub(super) async fn command(&mut self, database: &str, command: Document) -> Result<Document, Failure> {
        let reply = if self.with_msg {
            self.message(command.with("$db", database)).await?
        } else {
            self.query(database, &command).await?
        };
        refused(reply)
    }

    async fn query(&mut self, database: &str, command: &Document) -> Result<Document, Failure> {
        // SlaveOk: a climb asks secondaries as well.
        let mut body = 4_i32.to_le_bytes().to_vec();
        body.extend_from_slice(database.as_bytes());
        body.extend_from_slice(b".$cmd\0");
        body.extend_from_slice(&0_i32.to_le_bytes());
        body.extend_from_slice(&(-1_i32).to_le_bytes());
        body.extend_from_slice(&command.encode());
        self.send(OP_QUERY, &body).await?;
        let reply = self.receive(OP_REPLY).await?;
        // Flags, cursor id, starting point, number of documents; then the documents, of which a command has one.
        let document = reply.get(20..).ok_or(Malformed)?;
        Ok(Document::decode(document)?)
    }

    async fn message(&mut self, command: Document) -> Result<Document, Failure> {
        let mut body = vec![0; 5];
        body.extend_from_slice(&command.encode());
        self.send(OP_MSG, &body).await?;
        let reply = self.receive(OP_MSG).await?;
        let (flags, sections) = reply.split_at_checked(4).ok_or(Malformed)?;
        let flags = u32::from_le_bytes(flags.try_into().map_err(|_| Malformed)?);
        if flags & MORE_TO_COME != 0 {
            return Err(Failure::NotMongo("a reply that announces another one, unrequested".to_owned()));
        }
        let end =
            if flags & CHECKSUM_PRESENT != 0 { sections.len().saturating_sub(4) } else { sections.len() };
        match sections.get(..end).and_then(<[u8]>::split_first) {
            Some((0, document)) => Ok(Document::decode(document)?),
            _ => Err(Malformed.into()),
        }
    }

    async fn send(&mut self, operation: i32, body: &[u8]) -> io::Result<()> {
        self.last_request = self.last_request.wrapping_add(1);
        let length = i32::try_from(HEADER + body.len()).map_err(io::Error::other)?;
        let mut message = Vec::with_capacity(HEADER + body.len());
        for number in [length, self.last_request, 0, operation] {
            message.extend_from_slice(&number.to_le_bytes());
        }
        message.extend_from_slice(body);
        self.stream.write_all(&message).await?;
        self.stream.flush().await
    }

    /// The header of a message. A shorter response is from something else: a TLS alert has seven bytes.
    async fn header(&mut self) -> Result<[u8; HEADER], Failure> {
        let mut header = [0; HEADER];
        let mut filled = 0;
        while filled < HEADER {
            // What is no length of a message was said by something that waits for more.
            let length =
                header.first_chunk::<4>().filter(|_| filled >= 4).map(|bytes| i32::from_le_bytes(*bytes));
            if length.is_some_and(|length| !PLAUSIBLE_LENGTH.contains(&length)) {
                return Err(Failure::Foreign(header[..filled].to_vec()));
            }
            match self.stream.read(&mut header[filled..]).await {
                Ok(0) if filled == 0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Ok(0) => return Err(Failure::Foreign(header[..filled].to_vec())),
                Err(_) if filled > 0 => return Err(Failure::Foreign(header[..filled].to_vec())),
                Ok(read) => filled += read,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(header)
    }

    async fn receive(&mut self, operation: i32) -> Result<Vec<u8>, Failure> {
        let header = self.header().await?;
        let field = |at: usize| header[at..].first_chunk::<4>().map_or(0, |bytes| i32::from_le_bytes(*bytes));
        if field(12) != operation || field(8) != self.last_request {
            return Err(Failure::Foreign(header.to_vec()));
        }
        let length =
            usize::try_from(field(0)).ok().filter(|length| (HEADER..=LONGEST_REPLY).contains(length));
        let Some(length) = length else {
            return Err(Failure::NotMongo(format!("a reply with a declared length of {} bytes", field(0))));
        };
        // Read as it arrives, so that a declared length alone allocates nothing.
        let expected = length - HEADER;
        let mut body = Vec::new();
        let limit = u64::try_from(expected).unwrap_or(u64::MAX);
        (&mut self.stream).take(limit).read_to_end(&mut body).await?;
        if body.len() < expected {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        Ok(body)
    }
}

/// A reply, unless it is an error. Servers before 3.6 reject an OP_QUERY with `$err`.
fn refused(reply: Document) -> Result<Document, Failure> {
    let message = reply.text("errmsg").or(reply.text("$err"));
    if reply.is("ok") && reply.get("$err").is_none() {
        return Ok(reply);
    }
    let Some(message) = message else {
        return Err(Failure::NotMongo("a reply that is neither a success nor an error".to_owned()));
    };
    Err(Failure::Refused(Refusal {
        code: reply.number("code").unwrap_or(0),
        name: reply.text("codeName").unwrap_or_default().to_owned(),
        message: message.to_owned(),
    }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use tokio::io::DuplexStream;

    use super::*;

    async fn answered(reply: Vec<u8>) -> Result<Document, Failure> {
        let (client, mut server): (DuplexStream, DuplexStream) = tokio::io::duplex(64 * 1024);
        let asked = tokio::spawn(async move {
            let mut wire = Wire::new(Box::new(client));
            wire.hello(Document::new().with("isMaster", 1)).await
        });
        let mut request = [0; 58];
        server.read_exact(&mut request).await.unwrap();
        server.write_all(&reply).await.unwrap();
        drop(server);
        asked.await.unwrap()
    }

    fn reply(length: Option<i32>, operation: i32, document: &Document) -> Vec<u8> {
        let document = document.encode();
        let length = length.unwrap_or(36 + i32::try_from(document.len()).unwrap());
        let mut bytes = Vec::new();
        for number in [length, 9, 1, operation, 8, 0, 0, 0, 1] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&document);
        bytes
    }

    #[tokio::test]
    async fn an_answer_is_read() {
        let document = Document::new().with("ismaster", true).with("ok", 1);
        assert_eq!(answered(reply(None, OP_REPLY, &document)).await.unwrap(), document);
    }

    #[tokio::test]
    async fn hostile_answers_are_refused_without_being_waited_for() {
        let good = Document::new().with("ok", 1);
        for bytes in [
            reply(Some(i32::MAX), OP_REPLY, &good),
            reply(Some(-1), OP_REPLY, &good),
            reply(Some(3), OP_REPLY, &good),
            reply(None, OP_MSG, &good),
            b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
            reply(None, OP_REPLY, &Document::new()),
        ] {
            match answered(bytes).await {
                Err(Failure::NotMongo(_) | Failure::Foreign(_)) => {}
                other => panic!("{other:?}"),
            }
        }
        let mut cut = reply(None, OP_REPLY, &good);
        cut.pop();
        assert!(matches!(answered(cut).await, Err(Failure::Connection(_))));
    }

    #[tokio::test]
    async fn an_error_is_told_with_its_code() {
        let error = Document::new().with("ok", 0).with("code", 13).with("errmsg", "not authorized");
        assert_eq!(answered(reply(None, OP_REPLY, &error)).await.unwrap_err().code(), Some(13));
    }
}
