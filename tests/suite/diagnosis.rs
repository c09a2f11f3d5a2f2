//! What the table of diagnoses is written in: one climb, and what it must have broken on.

use std::net::UdpSocket;
use std::sync::{Mutex, OnceLock};
use std::thread;

use boot_agent::cause::{Cause, Class};
use boot_agent::database::ladder::{Climb, Climber, Outcome, Request, Rung};
use boot_agent::database::uri::{self, Kind};
use boot_agent::files::Root;
use boot_agent::names::Names;
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, SRV, TXT};
use hickory_resolver::proto::rr::{Name, RData, Record};
use tempfile::TempDir;

use super::harness::parts;

/// A box that resolves names its own way. Certificates are read from where they really are.
pub(crate) struct Node {
    resolver: TempDir,
}

impl Node {
    /// Knows the names of `hosts`; every other one does not exist.
    pub(crate) fn new(hosts: &str) -> Self {
        Self::asking(nameserver(), hosts)
    }

    /// Asks a DNS server that is dead.
    pub(crate) fn with_dead_dns() -> Self {
        Self::asking("127.0.0.78", "")
    }

    fn asking(server: &str, hosts: &str) -> Self {
        let resolver = parts::directory("resolver");
        std::fs::create_dir(resolver.path().join("etc")).unwrap();
        std::fs::write(resolver.path().join("etc/hosts"), hosts).unwrap();
        std::fs::write(resolver.path().join("etc/resolv.conf"), format!("nameserver {server}\n")).unwrap();
        Self { resolver }
    }

    pub(crate) fn climb_all(&self, uris: &[String]) -> Vec<Climb> {
        let names = Names::new(Root::new(self.resolver.path()));
        // A home of its own, or this machine's ~/.postgresql would have a say.
        let climber = Climber::new(names, Root::new("/"), self.resolver.path());
        let requests: Vec<Request> = uris.iter().map(|uri| request(uri)).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let climbs = runtime.block_on(climber.climb_all(&requests));
        for (uri, climb) in uris.iter().zip(&climbs) {
            keeps_its_secret(uri, climb);
        }
        climbs
    }

    pub(crate) fn climb(&self, uri: &str) -> Climb {
        self.climb_all(&[uri.to_owned()]).remove(0)
    }

    /// A climb that must end on `rung` with this cause, every rung below it good and every one above it skipped.
    #[track_caller]
    pub(crate) fn breaks(&self, uri: &str, rung: Rung, kind: &str, class: Class, next_step: &str) -> Cause {
        let climb = self.climb(uri);
        breaks(&climb, rung, kind, class, next_step)
    }

    #[track_caller]
    pub(crate) fn holds(&self, uri: &str) -> Climb {
        let climb = self.climb(uri);
        assert!(climb.is_good(), "{climb:#?}");
        climb
    }
}

/// Whatever broke, no climb says the password, in the form in which the URI has it or in its own.
#[track_caller]
fn keeps_its_secret(uri: &str, climb: &Climb) {
    let login = uri.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@'));
    let Some((_, password)) = login.and_then(|(login, _)| login.split_once(':')) else { return };
    let decoded = percent_encoding::percent_decode_str(password).decode_utf8_lossy();
    for said in [serde_json::to_string(climb).unwrap(), format!("{climb:?}")] {
        assert!(!said.contains(password) && !said.contains(decoded.as_ref()), "{said}");
    }
}

fn request(uri: &str) -> Request {
    let kind = if uri.starts_with("mongo") { Kind::Mongo } else { Kind::Postgres };
    Request { name: "test".to_owned(), kind, uri: uri::parse_as(kind, uri) }
}

#[track_caller]
pub(crate) fn breaks(climb: &Climb, rung: Rung, kind: &str, class: Class, next_step: &str) -> Cause {
    let Some((broken, cause)) = climb.failure() else { panic!("nothing broke: {climb:#?}") };
    assert_eq!((broken, cause.kind.as_ref(), cause.class), (rung, kind, class), "{climb:#?}");
    assert!(cause.next_step.contains(next_step), "{next_step:?} is not in {cause:#?}");
    assert_eq!(climb.steps.len(), Rung::ALL.len(), "{climb:#?}");
    for (step, expected) in climb.steps.iter().zip(Rung::ALL) {
        assert_eq!(step.rung, expected, "{climb:#?}");
        let fits = match &step.outcome {
            Outcome::Good { .. } => step.rung < rung,
            Outcome::Failed { .. } => step.rung == rung,
            Outcome::Skipped { because } => step.rung > rung && *because == rung,
        };
        assert!(fits, "{climb:#?}");
    }
    cause.clone()
}

#[track_caller]
pub(crate) fn warns(climb: &Climb, kind: &str) -> Cause {
    let found = climb.warnings.iter().find(|warning| warning.kind == kind);
    found.unwrap_or_else(|| panic!("no warning {kind}: {climb:#?}")).clone()
}

#[track_caller]
pub(crate) fn detail(climb: &Climb, rung: Rung) -> String {
    match &climb.step(rung).unwrap().outcome {
        Outcome::Good { detail } => detail.clone(),
        other => panic!("{rung}: {other:?}"),
    }
}

/// What [`nameserver`] knows.
static ZONE: Mutex<Vec<Record>> = Mutex::new(Vec::new());

/// Makes `_mongodb._tcp.NAME` lead to `target` on `port`, with `text` as the TXT record of NAME.
pub(crate) fn publish(name: &str, target: &str, port: u16, text: &str) {
    let owner = |name: &str| Name::from_utf8(format!("{name}.")).unwrap();
    let service = RData::SRV(SRV::new(0, 0, port, owner(target)));
    let text = RData::TXT(TXT::new(vec![text.to_owned()]));
    let address = RData::A(A::new(127, 0, 0, 1));
    ZONE.lock().unwrap().extend([
        Record::from_rdata(owner(&format!("_mongodb._tcp.{name}")), 1, service),
        Record::from_rdata(owner(name), 1, text),
        Record::from_rdata(owner(target), 1, address),
    ]);
}

/// A DNS server that knows the names that were published, and says of all others that they do not exist.
fn nameserver() -> &'static str {
    static SERVER: OnceLock<&str> = OnceLock::new();
    SERVER.get_or_init(|| {
        let socket = UdpSocket::bind("127.0.0.77:53").unwrap();
        thread::spawn(move || {
            let mut question = [0; 1500];
            while let Ok((length, client)) = socket.recv_from(&mut question) {
                let Ok(question) = Message::from_vec(&question[..length]) else { continue };
                let _ = socket.send_to(&answer(&question).to_vec().unwrap(), client);
            }
        });
        "127.0.0.77"
    })
}

fn answer(question: &Message) -> Message {
    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    answer.metadata.recursion_available = true;
    let zone = ZONE.lock().unwrap();
    for query in &question.queries {
        answer.add_query(query.clone());
        let of_name: Vec<&Record> = zone.iter().filter(|record| record.name == *query.name()).collect();
        if of_name.is_empty() {
            answer.metadata.response_code = ResponseCode::NXDomain;
        }
        for record in of_name {
            if record.record_type() == query.query_type() {
                answer.add_answer(record.clone());
            }
        }
    }
    answer
}
