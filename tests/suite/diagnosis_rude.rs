//! Servers that are none, or that mean no good.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use boot_agent::cause::Class::{Config, External};
use boot_agent::database::ladder::{CLIMB_LIMIT, Rung};

use openssl::ssl::{SslAcceptor, SslFiletype, SslMethod, SslStream, SslVerifyMode};

use super::diagnosis::{Node, PASSWORD, WORD, keeps_its_secrets, shows};
use super::harness::certificates::Authority;

/// What a server does with a connection.
type Serve = fn(TcpStream);

/// A port on which each connection is given to `serve`. The thread ends with the process.
pub(crate) fn rude(serve: impl Fn(TcpStream) + Send + Sync + Copy + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream));
        }
    });
    port
}

fn listen(stream: &mut TcpStream) {
    let mut request = [0; 4096];
    let _ = stream.read(&mut request);
}

fn closes(stream: TcpStream) {
    drop(stream);
}

fn closes_when_asked(mut stream: TcpStream) {
    listen(&mut stream);
}

fn never_answers(mut stream: TcpStream) {
    let mut request = [0; 4096];
    while stream.read(&mut request).is_ok_and(|length| length > 0) {}
}

fn speaks_http(mut stream: TcpStream) {
    listen(&mut stream);
    let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
}

fn greets_as_mysql(mut stream: TcpStream) {
    let _ = stream.write_all(b"\x4a\0\0\0\x0a5.7.44-log\0\x08\0\0\0abcdefgh\0\xff\xf7");
    never_answers(stream);
}

fn greets_as_ssh(mut stream: TcpStream) {
    let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n");
    never_answers(stream);
}

fn answers_as_redis(mut stream: TcpStream) {
    listen(&mut stream);
    let _ = stream.write_all(b"-ERR unknown command\r\n");
}

fn sends_without_end(mut stream: TcpStream) {
    listen(&mut stream);
    while stream.write_all(&[0x52, 0, 0, 0, 8, 0, 0, 0, 0].repeat(1000)).is_ok() {}
}

/// A reply to the first OP_QUERY whose header says 2 GB.
fn says_two_gigabytes(mut stream: TcpStream) {
    listen(&mut stream);
    let mut header = Vec::new();
    for number in [i32::MAX, 7, 1, 1] {
        header.extend_from_slice(&number.to_le_bytes());
    }
    let _ = stream.write_all(&header);
    never_answers(stream);
}

/// An authentication request that says it is 2 GB long.
fn says_two_gigabytes_as_postgres(mut stream: TcpStream) {
    listen(&mut stream);
    let _ = stream.write_all(b"R\x7f\xff\xff\xff\0\0\0\0");
    never_answers(stream);
}

fn offers_tls_and_has_none(mut stream: TcpStream) {
    listen(&mut stream);
    let _ = stream.write_all(b"S");
    listen(&mut stream);
    let _ = stream.write_all(b"not a ServerHello");
    never_answers(stream);
}

#[test]
fn what_listens_in_the_place_of_postgres_is_named() {
    let node = Node::new("");
    let serves: [(Serve, &str); 3] =
        [(greets_as_mysql, "MySQL"), (greets_as_ssh, "SSH"), (speaks_http, "HTTP")];
    for (serve, name) in serves {
        let port = rude(serve);
        for (mode, rung) in [("prefer", Rung::Tls), ("disable", Rung::Auth)] {
            let uri = format!("postgres://circle:{PASSWORD}@127.0.0.1:{port}/circle?sslmode={mode}");
            let cause = node.breaks(&uri, rung, "postgres.not_postgres", Config, "host and port");
            assert!(cause.sentence.contains(name), "{cause:?}");
        }
    }
    let port = rude(closes);
    let uri = format!("postgres://circle:{PASSWORD}@127.0.0.1:{port}/circle");
    let cause = node.breaks(&uri, Rung::Tls, "postgres.closed", External, "load balancer");
    assert!(cause.sentence.contains("immediately"), "{cause:?}");
}

#[test]
fn not_postgres() {
    let node = Node::new("");
    let uri = |port: u16, mode: &str| {
        format!("postgres://circle:{PASSWORD}@127.0.0.1:{port}/circle?sslmode={mode}")
    };
    node.breaks(&uri(rude(closes), "prefer"), Rung::Tls, "postgres.closed", External, "log");
    node.breaks(&uri(rude(closes_when_asked), "require"), Rung::Tls, "postgres.closed", External, "log");
    node.breaks(&uri(rude(closes_when_asked), "disable"), Rung::Auth, "postgres.closed", External, "log");
    let cause =
        node.breaks(&uri(rude(speaks_http), "prefer"), Rung::Tls, "postgres.not_postgres", Config, "port");
    shows(&cause, "answer", "HTTP/1.1 400");
    node.breaks(&uri(rude(speaks_http), "disable"), Rung::Auth, "postgres.not_postgres", Config, "port");
    node.breaks(&uri(rude(never_answers), "prefer"), Rung::Tls, "postgres.silent", External, "hung");
    let endless = uri(rude(says_two_gigabytes_as_postgres), "disable");
    node.breaks(&endless, Rung::Auth, "postgres.not_postgres", Config, "port");
    let flood = node.diagnose(&uri(rude(sends_without_end), "disable"));
    assert_eq!(flood.failure().map(|(rung, _)| rung), Some(Rung::Auth), "{flood:?}");
    node.breaks(&uri(rude(offers_tls_and_has_none), "require"), Rung::Tls, "tls.not_tls", Config, "port");
}

#[test]
fn not_mongodb() {
    let node = Node::new("");
    let uri = |port: u16| format!("mongodb://circle:{PASSWORD}@127.0.0.1:{port}/circle_ghe");
    node.breaks(&uri(rude(closes)), Rung::Tls, "mongo.closed", External, "load balancer");
    node.breaks(&uri(rude(closes_when_asked)), Rung::Tls, "mongo.closed", External, "log");
    node.breaks(&uri(rude(never_answers)), Rung::Tls, "mongo.silent", External, "hung");
    for (serve, named) in [
        (speaks_http as Serve, "an HTTP server"),
        (greets_as_mysql, "a MySQL or MariaDB server"),
        (greets_as_ssh, "an SSH server"),
        (answers_as_redis, "a Redis server"),
    ] {
        for options in ["", "?ssl=true&tlsInsecure=true"] {
            let uri = format!("{}{options}", uri(rude(serve)));
            let cause = node.breaks(&uri, Rung::Tls, "mongo.not_mongodb", Config, "27017");
            assert!(cause.sentence.contains(named), "{cause:?}");
        }
    }
    let cause = node.breaks(&uri(rude(speaks_http)), Rung::Tls, "mongo.not_mongodb", Config, "port");
    shows(&cause, "answer", "HTTP/1.1 400");
    let cause = node.breaks(&uri(rude(says_two_gigabytes)), Rung::Tls, "mongo.not_mongodb", Config, "port");
    shows(&cause, "answer", "2147483647");
    node.breaks(&uri(rude(sends_without_end)), Rung::Tls, "mongo.not_mongodb", Config, "port");
    let tls = format!("{}?ssl=true&tlsInsecure=true", uri(rude(closes_when_asked)));
    node.breaks(&tls, Rung::Tls, "tls.closed", External, "log");
}

/// A TLS server at which every connection, once its handshake is done, is given to `serve`.
fn behind_tls(asks_for_certificate: bool, serve: fn(SslStream<TcpStream>)) -> u16 {
    let authority = Authority::new();
    let certificate = authority.issue("proxy", &["IP:127.0.0.1"], 10);
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
    acceptor.set_certificate_chain_file(&certificate.certificate).unwrap();
    acceptor.set_private_key_file(&certificate.key, SslFiletype::PEM).unwrap();
    if asks_for_certificate {
        acceptor.set_verify_callback(SslVerifyMode::PEER, |_, _| true);
    }
    let acceptor = acceptor.build();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let acceptor = acceptor.clone();
            thread::spawn(move || acceptor.accept(stream).map(serve));
        }
    });
    port
}

fn hangs_up(stream: SslStream<TcpStream>) {
    drop(stream);
}

fn answers_in_http(mut stream: SslStream<TcpStream>) {
    let mut request = [0; 4096];
    let _ = stream.read(&mut request);
    let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
    let _ = stream.shutdown();
}

/// A proxy that ends TLS in front of nothing is told from a mongod that wants a certificate.
#[test]
fn tls_with_nothing_behind_it() {
    let node = Node::new("");
    let uri = |port: u16, options: &str| {
        format!("mongodb://circle:{PASSWORD}@127.0.0.1:{port}/circle_ghe{options}")
    };
    let tls = "?ssl=true&tlsInsecure=true";
    let cause = node.breaks(
        &uri(behind_tls(false, hangs_up), tls),
        Rung::Tls,
        "mongo.closed",
        External,
        "load balancer",
    );
    assert!(cause.sentence.contains("TLS proxy"), "{cause:?}");
    let required = "tls.client_certificate_required";
    node.breaks(&uri(behind_tls(true, hangs_up), tls), Rung::Tls, required, Config, "tlsCertificateKeyFile");
    let https = node.breaks(
        &uri(behind_tls(false, answers_in_http), tls),
        Rung::Tls,
        "mongo.not_mongodb",
        Config,
        "27017",
    );
    assert!(https.sentence.contains("an HTTP server"), "{https:?}");
    // Without TLS in the URI, that is what is missing first.
    for asks in [true, false] {
        node.breaks(
            &uri(behind_tls(asks, hangs_up), ""),
            Rung::Tls,
            "mongo.tls_required",
            Config,
            "ssl=true",
        );
    }
    let https = node.breaks(
        &uri(behind_tls(false, answers_in_http), ""),
        Rung::Tls,
        "mongo.not_mongodb",
        Config,
        "27017",
    );
    assert!(https.sentence.contains("an HTTP server"), "{https:?}");
}

/// A login that asks for the password itself and says it back in the error, as a careless proxy does.
fn says_the_password_back(mut stream: TcpStream) {
    listen(&mut stream);
    let _ = stream.write_all(b"R\0\0\0\x08\0\0\0\x03");
    let mut message = [0; 4096];
    let length = stream.read(&mut message).unwrap_or(0);
    let password = message[..length].get(5..length.saturating_sub(1)).unwrap_or_default();
    let encoded = percent_encoding::percent_encode(password, percent_encoding::NON_ALPHANUMERIC).to_string();
    let mut fields = b"SFATAL\0C28P01\0Mno such password as ".to_vec();
    fields.extend_from_slice(password);
    fields.extend_from_slice(b"\0D");
    fields.extend_from_slice(encoded.as_bytes());
    fields.extend_from_slice(b", or ");
    fields.extend_from_slice(STANDARD.encode(password).as_bytes());
    fields.extend_from_slice(b"\0\0");
    let length = u32::try_from(fields.len() + 4).unwrap();
    let _ = stream.write_all(&[b"E".as_slice(), &length.to_be_bytes(), &fields].concat());
    never_answers(stream);
}

#[test]
fn a_server_that_tells_the_password() {
    let node = Node::new("");
    let port = rude(says_the_password_back);
    let uri = format!("postgres://circle:{PASSWORD}@127.0.0.1:{port}/circle?sslmode=disable");
    let cause = node.breaks(&uri, Rung::Auth, "postgres.password_rejected", Config, "Correct user");
    shows(&cause, "server said", "no such password as [redacted]");
    shows(&cause, "detail", "[redacted], or [redacted]");
}

/// The program has no children, and nothing of what it was told on standard input is to be seen from outside while it
/// waits for a server; systemd hears nothing of it either.
#[test]
fn nothing_is_to_be_seen_from_outside() {
    let node = Node::new("");
    let socket = node.world().path("/run/notify");
    let notify = UnixDatagram::bind(&socket).unwrap();
    notify.set_nonblocking(true).unwrap();
    let uri = format!("mongodb://circle:{PASSWORD}@127.0.0.1:{}/circle_ghe", rude(never_answers));
    let agent = node.probe(&uri).args(["-v", "--wait", "4s"]).env("NOTIFY_SOCKET", socket.display());
    let mut running = agent.spawn();
    running.wait_for_line("waiting: ", CLIMB_LIMIT);
    let of_process = |file: &str| fs::read(format!("/proc/{}/{file}", running.pid())).unwrap();
    for file in ["environ", "cmdline"] {
        let seen = String::from_utf8_lossy(&of_process(file)).into_owned();
        assert!(seen.contains("boot-agent") && !seen.contains(WORD), "{file}: {seen}");
    }
    let threads = fs::read_dir(format!("/proc/{}/task", running.pid())).unwrap();
    for thread in threads.flatten() {
        let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        assert_eq!(children, "", "a child");
    }
    let printed = running.finish(CLIMB_LIMIT * 2);
    keeps_its_secrets(&printed);
    printed.assert_code(3).assert_says("mongo.silent");
    let mut heard = [0; 4096];
    while let Ok(length) = notify.recv(&mut heard) {
        let heard = String::from_utf8_lossy(&heard[..length]).into_owned();
        assert!(!heard.contains(WORD), "{heard}");
    }
}

#[test]
fn every_climb_ends_in_time() {
    let node = Node::asking("nameserver 127.0.0.78\n", "");
    let silent = rude(never_answers);
    let hosts: Vec<String> = (0..8).map(|_| format!("127.0.0.1:{silent}")).collect();
    for uri in [
        format!("postgres://circle:{PASSWORD}@{}/circle", hosts.join(",")),
        format!("mongodb://circle:{PASSWORD}@{},no.such.host/circle_ghe", hosts.join(",")),
    ] {
        // The limit itself is looked at in every row.
        assert!(!node.diagnose(&uri).is_good());
    }
}
