#![allow(clippy::unwrap_used, clippy::panic)]

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener};

use super::*;
use crate::cause::Class;
use crate::database::uri;
use crate::dns::Resolver;
use crate::files::Root;
use crate::kind::Kind;

/// A box with its own resolver files.
struct Node {
    directory: tempfile::TempDir,
}

impl Node {
    fn new(hosts: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("etc")).unwrap();
        std::fs::write(directory.path().join("etc/hosts"), hosts).unwrap();
        // Nothing listens on port 53 there, so every question fails at once.
        std::fs::write(directory.path().join("etc/resolv.conf"), "nameserver 127.0.0.53\n").unwrap();
        Node { directory }
    }

    async fn climb(&self, text: &str) -> LadderResult {
        let root = Root::new(self.directory.path());
        let ladder_probe = LadderProbe::new(Resolver::new(root.clone()), root, "/root");
        let kind = if text.starts_with("mongo") { Product::Mongo } else { Product::Postgres };
        let request = Request { name: "test".into(), kind, uri: uri::parse_as(kind, text) };
        ladder_probe.climb(&request).await
    }
}

/// A port that refuses, as long as the value lives: it is taken, so that no other test is given it, and nobody listens.
fn closed_port() -> (u16, TcpSocket) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("0.0.0.0:0".parse().unwrap()).unwrap();
    (socket.local_addr().unwrap().port(), socket)
}

fn broken(climb: &LadderResult) -> (Rung, Kind, Class) {
    let (rung, cause) = climb.failure().unwrap_or_else(|| panic!("{climb:?}"));
    (rung, cause.kind, cause.class)
}

fn detail(climb: &LadderResult, rung: Rung) -> &str {
    match &climb.step(rung).unwrap().outcome {
        Outcome::Good { detail } => detail,
        other => panic!("{rung}: {other:?}"),
    }
}

#[tokio::test]
async fn a_malformed_uri_breaks_the_first_rung_and_skips_the_rest() {
    let climb = Node::new("").climb("mongodb://circle:p@ss-ladder@host/db").await;
    assert_eq!(broken(&climb), (Rung::Uri, Kind::MongoUri, Class::Config));
    assert_eq!(climb.address, None);
    assert_eq!(climb.steps.len(), Product::Mongo.rungs().len());
    for step in &climb.steps[1..] {
        assert_eq!(step.outcome, Outcome::Skipped { because: Rung::Uri });
    }
    assert!(!serde_json::to_string(&climb).unwrap().contains("ss-ladder"));
}

#[tokio::test]
async fn a_dead_dns_server_breaks_dns() {
    let climb = Node::new("").climb("postgres://u:p@db.internal/circle").await;
    assert_eq!(broken(&climb), (Rung::Dns, Kind::DnsTimeout, Class::External));
    assert!(matches!(climb.step(Rung::Tcp).unwrap().outcome, Outcome::Skipped { because: Rung::Dns }));
    let climb = Node::new("").climb("mongodb+srv://u:p@db.internal/circle").await;
    assert_eq!(broken(&climb).0, Rung::Dns);
}

#[tokio::test]
async fn every_address_of_a_name_is_tried_and_the_one_used_is_shown() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let node = Node::new("127.0.0.9 db.internal\n127.0.0.1 db.internal\n");
    // DNS is dead there, and not asked for a name that the hosts file has.
    let climb = quick(&node, &format!("postgres://u:p@db.internal:{port}/circle"), Rung::Dns, 1000).await;
    assert_eq!(detail(&climb, Rung::Dns), "db.internal is 127.0.0.9, 127.0.0.1");
    assert!(detail(&climb, Rung::Tcp).starts_with(&format!("127.0.0.1:{port} in ")), "{climb:?}");
}

#[tokio::test]
async fn nothing_listening_is_refused_and_says_so_for_every_address() {
    let (port, _closed) = closed_port();
    let node = Node::new("127.0.0.9 db.internal\n127.0.0.1 db.internal\n");
    let climb = node.climb(&format!("mongodb://db.internal:{port}/circle_ghe")).await;
    assert_eq!(broken(&climb), (Rung::Tcp, Kind::TcpRefused, Class::External));
    let cause = climb.failure().unwrap().1;
    assert_eq!(cause.evidence.iter().filter(|one| one.name == "address").count(), 2, "{cause:?}");
    assert!(cause.next_step.contains("net.bindIp"), "{cause:?}");
}

/// A listener that drops SYNs, as a security group does: its accept queue is full.
async fn black_hole(address: &str) -> (SocketAddr, (TcpListener, Vec<TcpStream>)) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(address.parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut fillers = Vec::new();
    while let Ok(Ok(filler)) = tokio::time::timeout(Duration::from_secs(1), TcpStream::connect(address)).await
    {
        fillers.push(filler);
    }
    (address, (listener, fillers))
}

#[tokio::test]
async fn a_server_that_drops_packets_is_a_timeout_within_the_limit() {
    let (address, _open) = black_hole("127.0.0.1:0").await;
    let climb = Node::new("").climb(&format!("postgres://u:p@{address}/circle")).await;
    assert_eq!(broken(&climb), (Rung::Tcp, Kind::TcpTimeout, Class::External));
    assert!(climb.failure().unwrap().1.next_step.contains("security group"));
}

/// One climb of several on which the rung took less than `milliseconds`: what is waited for is waited for each time, and a
/// busy machine is slow at times.
async fn quick(node: &Node, uri: &str, rung: Rung, milliseconds: u64) -> LadderResult {
    for _ in 0..9 {
        let climb = node.climb(uri).await;
        if climb.step(rung).unwrap().milliseconds < milliseconds {
            return climb;
        }
    }
    panic!("{rung} has never taken less than {milliseconds} ms")
}

/// Well below the limit of one address.
const NOT_WAITED: u64 = 1500;

#[tokio::test]
async fn a_black_holed_address_is_a_warning_that_nobody_waits_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (address, _open) = black_hole(&format!("127.0.0.9:{port}")).await;
    let node = Node::new("127.0.0.9 db.internal\n127.0.0.1 db.internal\n");
    let uri = format!("postgres://u:p@db.internal:{port}/circle");
    let climb = quick(&node, &uri, Rung::Tcp, NOT_WAITED).await;
    assert!(detail(&climb, Rung::Tcp).starts_with(&format!("127.0.0.1:{port} in ")), "{climb:?}");
    let [warning] = climb.warnings.as_slice() else { panic!("{climb:?}") };
    assert_eq!((warning.kind, warning.class), (Kind::TcpTimeout, Class::External));
    assert!(
        warning.sentence.starts_with(&format!("{address}, an address of db.internal:{port},")),
        "{warning:?}"
    );
}

#[tokio::test]
async fn a_black_holed_host_of_a_list_is_a_warning_that_nobody_waits_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let good = listener.local_addr().unwrap();
    let (dead, _open) = black_hole("127.0.0.9:0").await;
    let uri = format!("postgres://u:p@{dead},{good}/circle");
    let climb = quick(&Node::new(""), &uri, Rung::Tcp, NOT_WAITED).await;
    assert!(detail(&climb, Rung::Tcp).starts_with(&format!("{good} in ")), "{climb:?}");
    let warned: Vec<_> = climb.warnings.iter().filter(|it| it.kind == Kind::TcpTimeout).collect();
    assert_eq!(warned.len(), 1, "{climb:?}");
    assert!(warned[0].sentence.starts_with(&dead.to_string()), "{climb:?}");
}

#[tokio::test]
async fn one_host_of_several_is_enough_and_the_others_are_warned_of() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let good = listener.local_addr().unwrap().port();
    let (dead, _closed) = closed_port();
    let climb = Node::new("")
        .climb(&format!("mongodb://no.such.internal,127.0.0.1:{dead},127.0.0.1:{good}/circle_ghe"))
        .await;
    assert!(detail(&climb, Rung::Tcp).starts_with(&format!("127.0.0.1:{good} in ")), "{climb:?}");
    let kinds: Vec<Kind> = climb.warnings.iter().map(|warning| warning.kind).collect();
    assert!(kinds.contains(&Kind::DnsTimeout) && kinds.contains(&Kind::TcpRefused), "{kinds:?}");
}

#[tokio::test]
async fn unix_sockets_lie_under_the_root() {
    let node = Node::new("");
    std::fs::create_dir(node.directory.path().join("sock")).unwrap();
    let climb = node.climb("postgres://u:p@%2Fsock/circle").await;
    assert_eq!(broken(&climb), (Rung::Tcp, Kind::TcpRefused, Class::External));
    assert!(climb.failure().unwrap().1.sentence.contains("Unix socket /sock"));
    let _listener = UnixListener::bind(node.directory.path().join("sock/.s.PGSQL.5432")).unwrap();
    let climb = node.climb("postgres://u:p@%2Fsock/circle").await;
    assert!(detail(&climb, Rung::Tcp).starts_with("/sock/.s.PGSQL.5432 in "), "{climb:?}");
}

#[tokio::test]
async fn a_climb_survives_the_state_file() {
    let (port, _closed) = closed_port();
    let climb = Node::new("").climb(&format!("mongodb://127.0.0.1:{port}/")).await;
    let text = serde_json::to_string(&climb).unwrap();
    assert_eq!(serde_json::from_str::<LadderResult>(&text).unwrap(), climb);
    assert!(text.contains(r#""rung":"tcp","outcome":"failed","cause":{"kind":"tcp.refused""#), "{text}");
}
