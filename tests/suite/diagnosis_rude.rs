//! Servers that are none, or that mean no good.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use boot_agent::cause::Class::{Config, External};
use boot_agent::database::ladder::{CLIMB_LIMIT, Rung};

use super::diagnosis::Node;

/// A port on which each connection is given to `serve`. The thread ends with the process.
fn rude(serve: fn(TcpStream)) -> u16 {
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
fn not_postgres() {
    let node = Node::new("");
    let uri = |port: u16, mode: &str| format!("postgres://circle:pw@127.0.0.1:{port}/circle?sslmode={mode}");
    node.breaks(&uri(rude(closes), "prefer"), Rung::Tls, "postgres.closed", External, "log");
    node.breaks(&uri(rude(closes_when_asked), "require"), Rung::Tls, "postgres.closed", External, "log");
    node.breaks(&uri(rude(closes_when_asked), "disable"), Rung::Auth, "postgres.closed", External, "log");
    let cause =
        node.breaks(&uri(rude(speaks_http), "prefer"), Rung::Tls, "postgres.not_postgres", Config, "port");
    assert!(cause.evidence[0].value.starts_with("HTTP/1.1 400"), "{cause:?}");
    node.breaks(&uri(rude(speaks_http), "disable"), Rung::Auth, "postgres.not_postgres", Config, "port");
    node.breaks(&uri(rude(never_answers), "prefer"), Rung::Tls, "postgres.silent", External, "hung");
    let endless = uri(rude(says_two_gigabytes_as_postgres), "disable");
    node.breaks(&endless, Rung::Auth, "postgres.not_postgres", Config, "port");
    let flood = node.climb(&uri(rude(sends_without_end), "disable"));
    assert_eq!(flood.failure().map(|(rung, _)| rung), Some(Rung::Auth), "{flood:?}");
    node.breaks(&uri(rude(offers_tls_and_has_none), "require"), Rung::Tls, "tls.not_tls", Config, "port");
}

#[test]
fn not_mongodb() {
    let node = Node::new("");
    let uri = |port: u16| format!("mongodb://circle:pw@127.0.0.1:{port}/circle_ghe");
    node.breaks(&uri(rude(closes)), Rung::Tls, "mongo.closed", External, "log");
    node.breaks(&uri(rude(closes_when_asked)), Rung::Tls, "mongo.closed", External, "log");
    node.breaks(&uri(rude(never_answers)), Rung::Tls, "mongo.silent", External, "hung");
    let cause = node.breaks(&uri(rude(speaks_http)), Rung::Tls, "mongo.not_mongodb", Config, "port");
    assert!(cause.evidence[0].value.contains("HTTP/1.1 400"), "{cause:?}");
    let cause = node.breaks(&uri(rude(says_two_gigabytes)), Rung::Tls, "mongo.not_mongodb", Config, "port");
    assert!(cause.evidence[0].value.contains("2147483647"), "{cause:?}");
    node.breaks(&uri(rude(sends_without_end)), Rung::Tls, "mongo.not_mongodb", Config, "port");
    let tls = format!("{}?ssl=true&tlsInsecure=true", uri(rude(closes_when_asked)));
    node.breaks(&tls, Rung::Tls, "tls.closed", External, "log");
}

#[test]
fn every_climb_ends_in_time() {
    let node = Node::with_dead_dns();
    let silent = rude(never_answers);
    let hosts: Vec<String> = (0..8).map(|_| format!("127.0.0.1:{silent}")).collect();
    for uri in [
        format!("postgres://u:pw@{}/circle", hosts.join(",")),
        format!("mongodb://u:pw@{},no.such.host/circle_ghe", hosts.join(",")),
    ] {
        let started = Instant::now();
        assert!(!node.climb(&uri).is_good());
        assert!(started.elapsed() < CLIMB_LIMIT + Duration::from_secs(1), "{:?}", started.elapsed());
    }
}
