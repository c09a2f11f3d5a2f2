#![allow(clippy::unwrap_used, clippy::panic)]

//! Whole climbs in paused time over a network that is a table: every attempt is counted, and no clock but the test's own
//! passes.

use std::collections::BTreeMap;
use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::sleep;

use super::super::super::connect::{Opener, Opening};
use super::super::super::ladder::Request;
use super::super::super::rung::LadderResult;
use super::super::super::stream::Stream;
use super::super::super::uri;
use super::super::bson::Document;
use super::*;
use crate::dns::Resolver;
use crate::files::Root;

/// What is at an address.
#[derive(Clone)]
enum At {
    /// Nothing answers, as behind a firewall that drops.
    Hole,
    Refused,
    /// A PostgreSQL without the database that is asked for.
    Postgres,
    Mongo(Document),
}

/// How long a packet takes to a server that lives.
const ROUND_TRIP: Duration = Duration::from_millis(20);

const LATE: Duration = Duration::from_millis(500);

/// A member of the set `rs0` that advertises these names.
fn member(role: &str, names: &[&str]) -> At {
    let names = names.iter().map(|name| (*name).into()).collect();
    At::Mongo(
        Document::new()
            .with("setName", "rs0")
            .with("hosts", super::super::bson::Value::Array(names))
            .with(role, true)
            .with("maxWireVersion", 5)
            .with("version", "3.4.24")
            .with("ok", 1),
    )
}

fn standalone() -> At {
    let hello = Document::new().with("ismaster", true).with("maxWireVersion", 5);
    At::Mongo(hello.with("version", "3.4.24").with("ok", 1))
}

async fn message(stream: &mut DuplexStream, header: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; header];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// Every command is answered with the greeting.
async fn serve_mongo(mut stream: DuplexStream, hello: Document) -> io::Result<()> {
    loop {
        let header = message(&mut stream, 16).await?;
        let number = |at: usize| i32::from_le_bytes(*header[at..].first_chunk::<4>().unwrap());
        message(&mut stream, usize::try_from(number(0)).unwrap() - 16).await?;
        let document = hello.encode();
        let length = i32::try_from(36 + document.len()).unwrap();
        let mut reply = Vec::new();
        for field in [length, 1, number(4), 1, 8, 0, 0, 0, 1] {
            reply.extend_from_slice(&field.to_le_bytes());
        }
        reply.extend_from_slice(&document);
        sleep(ROUND_TRIP).await;
        stream.write_all(&reply).await?;
    }
}

async fn serve_postgres(mut stream: DuplexStream) -> io::Result<()> {
    message(&mut stream, 8).await?;
    stream.write_all(b"N").await?;
    message(&mut stream, 8).await?;
    sleep(ROUND_TRIP).await;
    let fields = b"SFATAL\0C3D000\0Mdatabase does not exist\0Fpostinit.c\0RInitPostgres\0\0";
    let length = u32::try_from(fields.len() + 4).unwrap();
    stream.write_all(&[b"E".as_slice(), &length.to_be_bytes(), fields].concat()).await?;
    sleep(LATE).await;
    Ok(())
}

fn connection(at: At) -> Opening {
    Box::pin(async move {
        match at {
            At::Hole => std::future::pending().await,
            At::Refused => {
                sleep(ROUND_TRIP).await;
                Err(io::ErrorKind::ConnectionRefused.into())
            }
            At::Postgres | At::Mongo(_) => {
                sleep(ROUND_TRIP).await;
                let (ours, theirs) = duplex(64 * 1024);
                tokio::spawn(async move {
                    match at {
                        At::Mongo(hello) => serve_mongo(theirs, hello).await,
                        _ => serve_postgres(theirs).await,
                    }
                });
                let ours: Box<dyn Stream> = Box::new(ours);
                Ok(ours)
            }
        }
    })
}

/// What is black-holed, the URI, the network, what breaks, and what is warned of.
type Case = (&'static str, String, Vec<(&'static str, At)>, Option<Kind>, Vec<Kind>);

/// What one climb came to, the addresses that were tried in their order, and how long it took in paused time.
struct Climbed {
    result: LadderResult,
    tried: Vec<String>,
    took: Duration,
}

impl Climbed {
    fn warned_of(&self) -> Vec<Kind> {
        self.result.warnings.iter().map(|warning| warning.kind).collect()
    }

    fn broke(&self) -> Option<Kind> {
        self.result.failure().map(|(_, cause)| cause.kind)
    }
}

async fn climb(text: &str, hosts: &str, network: &[(&str, At)]) -> Climbed {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("etc")).unwrap();
    std::fs::write(directory.path().join("etc/hosts"), hosts).unwrap();
    let root = Root::new(directory.path());
    let tried = Arc::new(Mutex::new(Vec::new()));
    let table: BTreeMap<String, At> =
        network.iter().map(|(address, at)| ((*address).to_owned(), at.clone())).collect();
    let log = tried.clone();
    let opener = Opener(Arc::new(move |place| {
        let place = place.to_string();
        log.lock().unwrap().push(place.clone());
        connection(table.get(&place).unwrap_or_else(|| panic!("{place} is nowhere")).clone())
    }));
    let mut ladder_probe = LadderProbe::new(Resolver::new(root.clone()), root, "/root");
    ladder_probe.opener = opener;
    let kind = if text.starts_with("mongo") { Product::Mongo } else { Product::Postgres };
    let request = Request { name: "test".into(), kind, uri: uri::parse_as(kind, text) };
    let started = Instant::now();
    let result = ladder_probe.climb(&request).await;
    let tried = tried.lock().unwrap().clone();
    Climbed { result, tried, took: started.elapsed() }
}

#[tokio::test(start_paused = true)]
async fn a_black_hole_beside_what_answers_costs_half_a_second_and_is_tried_once() {
    use At::{Hole, Postgres, Refused};
    let all = ["10.0.0.1:27017", "10.0.0.2:27017", "10.0.0.3:27017"];
    let named = ["db1:27017", "db2:27017", "db3:27017"];
    let hosts = "10.0.0.1 db1\n10.0.0.2 db2\n10.0.0.3 db3\n10.0.0.1 two\n10.0.0.2 two\n";
    let set = "mongodb://10.0.0.1:27017,10.0.0.2:27017,10.0.0.3:27017/circle_ghe?replicaSet=rs0";
    let pg = |host: &str| format!("postgres://circle:p@{host}/circle");
    let (primary, secondary) = ("ismaster", "secondary");
    let warned = vec![Kind::TcpTimeout];
    let unreachable = Some(Kind::MongoMemberUnreachable);
    let cases: Vec<Case> = vec![
        (
            "one address of two",
            pg("two"),
            vec![("10.0.0.1:5432", Hole), ("10.0.0.2:5432", Postgres)],
            Some(Kind::PostgresNoDatabase),
            warned.clone(),
        ),
        (
            "the other address of two",
            pg("two"),
            vec![("10.0.0.1:5432", Postgres), ("10.0.0.2:5432", Hole)],
            Some(Kind::PostgresNoDatabase),
            warned.clone(),
        ),
        (
            "one host of two",
            pg("db1,db2"),
            vec![("10.0.0.1:5432", Hole), ("10.0.0.2:5432", Postgres)],
            Some(Kind::PostgresNoDatabase),
            warned.clone(),
        ),
        (
            "one host of two that has one address of two",
            pg("two,db3"),
            vec![("10.0.0.1:5432", Hole), ("10.0.0.2:5432", Postgres), ("10.0.0.3:5432", Hole)],
            Some(Kind::PostgresNoDatabase),
            vec![Kind::TcpTimeout, Kind::TcpTimeout],
        ),
        (
            "one address of a standalone's two",
            "mongodb://two/circle_ghe".to_owned(),
            vec![("10.0.0.1:27017", Hole), ("10.0.0.2:27017", standalone())],
            None,
            warned.clone(),
        ),
        (
            "a secondary among the seeds",
            set.to_owned(),
            vec![(all[0], member(primary, &all)), (all[1], Hole), (all[2], member(secondary, &all))],
            None,
            warned.clone(),
        ),
        (
            "the primary among the seeds",
            set.to_owned(),
            vec![(all[0], Hole), (all[1], member(secondary, &all)), (all[2], member(secondary, &all))],
            Some(Kind::MongoNoPrimary),
            warned.clone(),
        ),
        (
            "all but a secondary",
            set.to_owned(),
            vec![(all[0], Hole), (all[1], Hole), (all[2], member(secondary, &all))],
            Some(Kind::MongoNoPrimary),
            vec![Kind::TcpTimeout, Kind::TcpTimeout],
        ),
        (
            "a member that only the set names",
            "mongodb://db1:27017/circle_ghe?replicaSet=rs0".to_owned(),
            vec![
                ("10.0.0.1:27017", member(primary, &named)),
                ("10.0.0.2:27017", Hole),
                ("10.0.0.3:27017", member(secondary, &named)),
            ],
            None,
            vec![Kind::MongoMemberUnreachable],
        ),
        (
            "a seed, and another member that only the set names",
            "mongodb://db1:27017,db2:27017/circle_ghe?replicaSet=rs0".to_owned(),
            vec![
                ("10.0.0.1:27017", Hole),
                ("10.0.0.2:27017", member(primary, &named)),
                ("10.0.0.3:27017", Hole),
            ],
            None,
            vec![Kind::TcpTimeout, Kind::MongoMemberUnreachable],
        ),
        (
            "a seed that the set knows by another name",
            "mongodb://10.0.0.1:27017,db2:27017/circle_ghe?replicaSet=rs0".to_owned(),
            vec![
                ("10.0.0.1:27017", Hole),
                ("10.0.0.2:27017", member(primary, &named)),
                ("10.0.0.3:27017", member(secondary, &named)),
            ],
            None,
            warned.clone(),
        ),
        (
            "refused instead of dropped",
            set.to_owned(),
            vec![(all[0], member(primary, &all)), (all[1], Refused), (all[2], member(secondary, &all))],
            None,
            vec![Kind::TcpRefused],
        ),
    ];
    for (what, uri, network, broke, warnings) in cases {
        let found = climb(&uri, hosts, &network).await;
        let mut tried = found.tried.clone();
        tried.sort();
        let once: Vec<String> = network.iter().map(|(address, _)| (*address).to_owned()).collect();
        assert_eq!(tried, once, "{what}: each is tried once");
        let broke = match broke {
            Some(Kind::MongoNoPrimary) if found.broke() == unreachable => found.broke(),
            broke => broke,
        };
        assert_eq!(found.broke(), broke, "{what}: {:?}", found.result);
        assert_eq!(found.warned_of(), warnings, "{what}: {:?}", found.result);
        // Accepting and greeting is two round trips; what follows are the login and two questions.
        let first_answer = ROUND_TRIP * 2;
        let after = found.took.saturating_sub(first_answer);
        assert!(after <= LATE, "{what}: {after:?} after the first answer");
    }
}

#[tokio::test(start_paused = true)]
async fn who_lives_under_two_names_is_greeted_under_both() {
    let names = ["db1:27017"];
    let network = [("10.0.0.1:27017", member("ismaster", &names))];
    let uri = "mongodb://10.0.0.1:27017/circle_ghe?replicaSet=rs0";
    let found = climb(uri, "10.0.0.1 db1\n", &network).await;
    assert!(found.result.is_good(), "{:?}", found.result);
    assert_eq!(found.tried, ["10.0.0.1:27017", "10.0.0.1:27017"]);
}
