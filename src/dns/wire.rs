//! One question to one name server.
//!
//! Each question has a socket of its own, so a source port that the kernel picks at random, and a random id. Only a
//! message from that server with this id that repeats the question is its answer; anything else is passed over.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// What an answer over UDP may have with EDNS0, in bytes: no fragments on any common link.
const EDNS_PAYLOAD: u16 = 1232;

/// The longest UDP packet that is read; DNS servers send at most what they were offered, which is less.
const LONGEST_PACKET: usize = 4096;

/// How a question is put.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    /// How long one packet, or one connection, is waited for.
    pub(super) wait: Duration,
    pub(super) use_tcp: bool,
    pub(super) edns0: bool,
}

/// Why a server gave no answer that can be used, so that the next one is asked.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// Nothing came in time.
    Silent(Duration),
    /// The question could not be sent, or was rejected on its way.
    Network(io::Error),
    /// `SERVFAIL`, `NOTIMP` or `REFUSED`.
    Failed(ResponseCode),
    /// A referral from a server that does not resolve by itself.
    Referral,
    /// The answer cannot be read.
    Malformed(String),
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unanswered::Silent(waited) => write!(f, "no response within {} ms", waited.as_millis()),
            Unanswered::Network(error) => write!(f, "{error}"),
            Unanswered::Failed(code) => f.write_str(code_name(*code)),
            Unanswered::Referral => f.write_str("a referral instead of an answer (not a recursive resolver)"),
            Unanswered::Malformed(error) => write!(f, "a malformed response ({error})"),
        }
    }
}

/// A response code as the tools of the field print it.
pub(super) fn code_name(code: ResponseCode) -> &'static str {
    match code {
        ResponseCode::NoError => "NOERROR",
        ResponseCode::FormErr => "FORMERR",
        ResponseCode::ServFail => "SERVFAIL",
        ResponseCode::NXDomain => "NXDOMAIN",
        ResponseCode::NotImp => "NOTIMP",
        ResponseCode::Refused => "REFUSED",
        _ => "another error code",
    }
}

/// Asks `server` once; over TCP again where an answer over UDP is truncated.
pub(super) async fn ask(
    server: SocketAddr,
    name: &Name,
    kind: RecordType,
    manner: Manner,
) -> Result<Message, Unanswered> {
    let message = exchange(server, name, kind, manner).await?;
    match message.response_code {
        code @ (ResponseCode::ServFail | ResponseCode::NotImp | ResponseCode::Refused) => {
            Err(Unanswered::Failed(code))
        }
        ResponseCode::NoError if is_referral(&message) => Err(Unanswered::Referral),
        _ => Ok(message),
    }
}

/// Nothing in it, and the server neither owns the name nor resolves for others: a lame delegation.
fn is_referral(message: &Message) -> bool {
    message.answers.is_empty()
        && message.additionals.is_empty()
        && !message.authoritative
        && !message.recursion_available
}

pub(super) fn question(name: &Name, kind: RecordType, edns0: bool) -> Message {
    let mut question = Message::query();
    question.metadata.recursion_desired = true;
    question.add_query(Query::query(name.clone(), kind));
    if edns0 {
        let mut edns = Edns::new();
        edns.set_max_payload(EDNS_PAYLOAD);
        question.set_edns(edns);
    }
    question
}

async fn exchange(
    server: SocketAddr,
    name: &Name,
    kind: RecordType,
    manner: Manner,
) -> Result<Message, Unanswered> {
    let question = question(name, kind, manner.edns0);
    let bytes = question.to_vec().map_err(|error| Unanswered::Malformed(error.to_string()))?;
    if !manner.use_tcp {
        let answer = bounded(manner.wait, over_udp(server, &question, &bytes)).await?;
        if !answer.metadata.truncation {
            return Ok(answer);
        }
    }
    bounded(manner.wait, over_tcp(server, &question, &bytes)).await
}

async fn bounded<T>(
    wait: Duration,
    answer: impl Future<Output = Result<T, Unanswered>>,
) -> Result<T, Unanswered> {
    timeout(wait, answer).await.unwrap_or(Err(Unanswered::Silent(wait)))
}

async fn over_udp(server: SocketAddr, question: &Message, bytes: &[u8]) -> Result<Message, Unanswered> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    // A connected socket takes packets of this server only, and hears that its port is closed.
    socket.connect(server).await?;
    socket.send(bytes).await?;
    let mut packet = vec![0; LONGEST_PACKET];
    loop {
        let length = socket.recv(&mut packet).await?;
        if let Some(answer) = answer_to(question, packet.get(..length).unwrap_or_default()) {
            return answer;
        }
    }
}

async fn over_tcp(server: SocketAddr, question: &Message, bytes: &[u8]) -> Result<Message, Unanswered> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(bytes.len()).map_err(|error| Unanswered::Malformed(error.to_string()))?;
    stream.write_all(&[&length.to_be_bytes(), bytes].concat()).await?;
    loop {
        let length = stream.read_u16().await?;
        let mut packet = vec![0; usize::from(length)];
        stream.read_exact(&mut packet).await?;
        if let Some(answer) = answer_to(question, &packet) {
            return answer;
        }
    }
}

/// `None` when the packet answers another question, or none.
pub(super) fn answer_to(question: &Message, packet: &[u8]) -> Option<Result<Message, Unanswered>> {
    let id = packet.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))?;
    if id != question.metadata.id {
        return None;
    }
    let answer = match Message::from_vec(packet) {
        Ok(answer) => answer,
        Err(error) => return Some(Err(Unanswered::Malformed(error.to_string()))),
    };
    let repeats = match (question.queries.as_slice(), answer.queries.as_slice()) {
        ([asked], [repeated]) => {
            asked.name().eq_ignore_root(repeated.name())
                && asked.query_type() == repeated.query_type()
                && asked.query_class() == repeated.query_class()
        }
        _ => false,
    };
    let is_answer = answer.metadata.message_type == MessageType::Response
        && answer.metadata.op_code == OpCode::Query
        && repeats;
    is_answer.then_some(Ok(answer))
}

impl From<io::Error> for Unanswered {
    fn from(error: io::Error) -> Self {
        Unanswered::Network(error)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn question() -> Message {
        super::question(&Name::from_ascii("db.internal.").unwrap(), RecordType::A, false)
    }

    #[test]
    fn only_the_answer_to_the_question_is_taken() {
        let question = question();
        let is_taken = |change: fn(&mut Message)| {
            let mut answer = question.clone();
            answer.metadata.message_type = MessageType::Response;
            change(&mut answer);
            answer_to(&question, &answer.to_vec().unwrap()).is_some()
        };
        assert!(is_taken(|_| {}));
        assert!(is_taken(|answer| {
            answer.queries[0].set_name(Name::from_ascii("DB.Internal.").unwrap());
        }));
        assert!(!is_taken(|answer| answer.metadata.id ^= 1));
        assert!(!is_taken(|answer| answer.metadata.message_type = MessageType::Query));
        assert!(!is_taken(|answer| answer.metadata.op_code = OpCode::Status));
        assert!(!is_taken(|answer| answer.queries.clear()));
        assert!(!is_taken(|answer| {
            answer.queries[0].set_query_type(RecordType::AAAA);
        }));
        assert!(!is_taken(|answer| {
            answer.queries[0].set_name(Name::from_ascii("evil.internal.").unwrap());
        }));
    }

    proptest! {
        #[test]
        fn any_packet_is_survived(packet in proptest::collection::vec(any::<u8>(), 0..200)) {
            answer_to(&question(), &packet);
        }

        #[test]
        fn any_body_is_survived(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let question = question();
            let packet = [&question.metadata.id.to_be_bytes()[..], &body].concat();
            answer_to(&question, &packet);
        }
    }
}
