//! Identifies what is listening on a port where a database was expected.
//!
//! Used only if the database's own protocol got no response, to name what is there instead.

use std::fmt;
use std::io;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::connect::{self, Place};
use super::tls::{self, Terms};
use super::uri::{Host, Product, Server};
use crate::files::Root;
use crate::kind::Kind;

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
    /// An SMTP, IMAP, POP3 or FTP server.
    Mail,
    Vnc,
    Amqp,
    Memcached,
    Telnet,
    SqlServer,
    Cassandra,
    /// TLS with HTTP in it.
    Https,
    /// TLS: it answered plaintext with an alert, or a handshake.
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
            Listener::Mail => "a mail or FTP server",
            Listener::Vnc => "a VNC server",
            Listener::Amqp => "an AMQP server, such as RabbitMQ",
            Listener::Memcached => "a memcached server",
            Listener::Telnet => "a Telnet server",
            Listener::SqlServer => "a Microsoft SQL Server",
            Listener::Cassandra => "a Cassandra server",
            Listener::Https => "an HTTPS server",
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
        [b'2', b'2', b'0', b' ' | b'-', ..] | [b'*', b' ', b'O', b'K', ..] | [b'+', b'O', b'K', ..] => {
            Listener::Mail
        }
        // `-ERR`, `-DENIED`, `-NOAUTH`, `-LOADING` and so on.
        [b'-', b'A'..=b'Z', b'A'..=b'Z', ..] => Listener::Redis,
        [b'R', b'F', b'B', b' ', ..] => Listener::Vnc,
        [b'A', b'M', b'Q', b'P', ..] => Listener::Amqp,
        [b'E', b'R', b'R', b'O', b'R', b'\r', ..] => Listener::Memcached,
        [0xff, 0xfb..=0xfe, ..] => Listener::Telnet,
        // A reply of TDS that is one packet; a response of the native protocol 3 to 5.
        [4, 1, 0, ..] => Listener::SqlServer,
        [0x83..=0x85, 0, 0, 0, ..] => Listener::Cassandra,
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
        let plain = [Question::Nothing, Question::Postgres, Question::Http].map(|it| ask(place, it).boxed());
        let mut answers: FuturesUnordered<_> = plain.into_iter().chain([ask_in_tls(place).boxed()]).collect();
        let mut least = None;
        while let Some(answer) = answers.next().await {
            match answer {
                // Whatever else is recognised says more.
                Some(Listener::ClosesAtOnce) => least = least.or(answer),
                Some(Listener::Tls) => least = answer,
                Some(_) => return answer,
                None => {}
            }
        }
        least
    });
    asked.await.ok().flatten()
}

/// Whether TLS is spoken there from the first byte on, and HTTP in it.
async fn ask_in_tls(place: &Place) -> Option<Listener> {
    let Place::Network(address) = place else { return None };
    let server = Server { host: Host::Address(address.ip()), address: None, port: address.port() };
    let stream = connect::open(place).await.ok()?;
    let terms = Terms::anything(Product::Postgres);
    let mut stream = match tls::handshake(&terms, &Root::default(), &server, stream, UNASKED).await {
        Ok(stream) => stream,
        // An alert is an answer in TLS.
        Err(cause) => {
            let alerts = [Kind::TlsVersion, Kind::TlsServerName, Kind::TlsClientCertificateRequired];
            let is_alert = alerts.contains(&cause.kind)
                || cause.evidence.iter().any(|one| one.name == "OpenSSL" && one.value.contains("alert"));
            return is_alert.then_some(Listener::Tls);
        }
    };
    let mut answer = vec![0; 5];
    let asked = timeout(UNASKED, async {
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
        stream.flush().await?;
        stream.read_exact(&mut answer).await
    });
    Some(match asked.await {
        Ok(Ok(_)) if answer == b"HTTP/" => Listener::Https,
        _ => Listener::Tls,
    })
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
            (b"-NOAUTH Authentication required.", Listener::Redis),
            (b"* OK IMAP4rev1 ready", Listener::Mail),
            (b"+OK POP3 ready", Listener::Mail),
            (b"RFB 003.008\n", Listener::Vnc),
            (b"AMQP\x00\x00\x09\x01", Listener::Amqp),
            (b"ERROR\r\n", Listener::Memcached),
            (b"\xff\xfd\x18\xff\xfd\x20", Listener::Telnet),
            (b"\x04\x01\x00\x2b\x00\x00\x01\x00", Listener::SqlServer),
            (b"\x84\x00\x00\x00\x00", Listener::Cassandra),
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
