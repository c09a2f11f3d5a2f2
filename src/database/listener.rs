//! Identifies what is listening on a port where a database was expected.
//!
//! Used only if the database's own protocol got no response, to name what is there instead.

use std::fmt;
use std::io;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::connect::{self, Place};

/// Something that was recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listener {
    Http,
    /// MySQL or MariaDB.
    MySql,
    Postgres,
    MongoDb,
    Ssh,
    Redis,
    /// An SMTP or FTP server.
    Mail,
    /// TLS: it answered plaintext with an alert.
    Tls,
    /// It closes each connection before any request: a TCP proxy or load balancer without a healthy server behind it,
    /// or a server at its connection limit.
    ClosesAtOnce,
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Listener::Http => "an HTTP server",
            Listener::MySql => "a MySQL or MariaDB server",
            Listener::Postgres => "a PostgreSQL server",
            Listener::MongoDb => "a MongoDB server",
            Listener::Ssh => "an SSH server",
            Listener::Redis => "a Redis server",
            Listener::Mail => "an SMTP or FTP server",
            Listener::Tls => "a TLS server",
            Listener::ClosesAtOnce => "a proxy or a server that closes every connection immediately",
        })
    }
}

/// Identifies a server by its first bytes.
pub(super) fn by_first_bytes(bytes: &[u8]) -> Option<Listener> {
    Some(match bytes {
        [b'H', b'T', b'T', b'P', b'/', ..] => Listener::Http,
        [b'S', b'S', b'H', b'-', ..] => Listener::Ssh,
        [b'2', b'2', b'0', b' ' | b'-', ..] => Listener::Mail,
        [b'-', b'E', b'R', b'R', ..] | [b'-', b'D', b'E', b'N', ..] => Listener::Redis,
        // An alert: version 3, two bytes long.
        [0x15, 3, _, 0, 2, ..] => Listener::Tls,
        // A packet with a three-byte length and number 0: a protocol 10 greeting, or an error.
        [_, _, 0, 0, 10 | 0xff, ..] => Listener::MySql,
        // An error: `E`, a length, and the first field.
        [b'E', 0, 0, _, _, b'S', ..] => Listener::Postgres,
        _ => return None,
    })
}

/// How long to wait for a server that speaks first or closes.
const UNASKED: Duration = Duration::from_millis(1000);

/// PostgreSQL's SSLRequest, which every version answers with one byte.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Tries several protocols concurrently, for at most `limit`; the first match counts.
pub(super) async fn identify(place: &Place, limit: Duration) -> Option<Listener> {
    let asked = timeout(limit, async {
        let mut answers: FuturesUnordered<_> = [Question::Nothing, Question::Postgres, Question::Http]
            .map(|it| ask(place, it))
            .into_iter()
            .collect();
        let mut closes = None;
        while let Some(answer) = answers.next().await {
            match answer {
                // Whatever else is recognised says more.
                Some(Listener::ClosesAtOnce) => closes = answer,
                Some(_) => return answer,
                None => {}
            }
        }
        closes
    });
    asked.await.ok().flatten()
}

#[derive(Debug, Clone, Copy)]
enum Question {
    Nothing,
    Postgres,
    Http,
}

async fn ask(place: &Place, question: Question) -> Option<Listener> {
    let mut stream = connect::open(place).await.ok()?;
    let words: &[u8] = match question {
        Question::Nothing => b"",
        Question::Postgres => &SSL_REQUEST,
        Question::Http => b"GET / HTTP/1.0\r\n\r\n",
    };
    // A server that speaks first may already have closed.
    let _ = stream.write_all(words).await;
    let _ = stream.flush().await;
    let mut heard = Vec::new();
    let mut buffer = [0; 512];
    let ended = loop {
        match timeout(UNASKED, stream.read(&mut buffer)).await {
            Ok(Ok(0)) => break true,
            Ok(Ok(length)) => {
                heard.extend_from_slice(&buffer[..length]);
                if heard.len() >= buffer.len() || matches!(question, Question::Postgres) {
                    break false;
                }
            }
            Ok(Err(error)) => break error.kind() == io::ErrorKind::ConnectionReset,
            Err(_) => break false,
        }
    };
    match (question, heard.as_slice()) {
        (Question::Nothing, []) if ended => Some(Listener::ClosesAtOnce),
        (Question::Postgres, [b'S' | b'N']) => Some(Listener::Postgres),
        // mongod answers HTTP with a word of advice.
        (Question::Http, answer) if answer.windows(7).any(|window| window == b"MongoDB") => {
            Some(Listener::MongoDb)
        }
        (_, bytes) => by_first_bytes(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_name_their_server() {
        for (bytes, expected) in [
            (&b"HTTP/1.1 400 Bad Request\r\n"[..], Listener::Http),
            (b"SSH-2.0-OpenSSH_9.2p1 Debian", Listener::Ssh),
            (b"220 mail.example.com ESMTP", Listener::Mail),
            (b"-ERR unknown command", Listener::Redis),
            (b"-DENIED Redis is running in protected mode", Listener::Redis),
            (b"\x15\x03\x01\x00\x02\x02\x46", Listener::Tls),
            (b"\x4a\x00\x00\x00\x0a5.7.44-log\x00", Listener::MySql),
            (b"\x45\x00\x00\x00\xffj\x04Host is not allowed", Listener::MySql),
            (b"E\x00\x00\x00\x94SFATAL\x00", Listener::Postgres),
        ] {
            assert_eq!(by_first_bytes(bytes), Some(expected), "{}", bytes.escape_ascii());
        }
        for bytes in [&b""[..], b"R", b"\0\0\0\0\0\0", b"hello, world"] {
            assert_eq!(by_first_bytes(bytes), None, "{}", bytes.escape_ascii());
        }
    }
}
