//! What the table of diagnoses is written in: `agent probe --uri -`, run once for each row as a person runs it, and what
//! it must find broken.
//!
//! Each row is four runs at the same time: as JSON with `-v` and as text, each with a password that is a plain word and
//! with one that needs encoding. No output of any of them may have a canary in it.

use std::fmt;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use boot_agent::cause::{Cause, Class};
use boot_agent::database::ladder::{CLIMB_LIMIT, Rung};
use boot_agent::database::uri::Product;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{A, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::harness::agent::{Agent, CommandContext, Finished, Running};

/// How every secret of the table begins and ends. Letters and digits alone, so that no encoding but base64 and
/// hexadecimal changes it; long enough to be recognised in those wherever it begins.
pub(crate) const WORD: &str = "cAn4Ry7WoRd";

/// The password of `circle` on every server of the table.
pub(crate) const PASSWORD: &str = "cAn4Ry7WoRdRight";

/// A password that is nobody's.
pub(crate) const WRONG: &str = "cAn4Ry7WoRdWrong";

/// What follows in the passwords of `odd`, who may do what `circle` may: whatever needs encoding somewhere.
const TAIL: &str = "@:/?#[]%&=+,; \"\\<\u{e9}>`$!cAn4Ry7WoRd";

/// The password of `odd`.
pub(crate) fn odd_password() -> String {
    format!("{PASSWORD}{TAIL}")
}

/// The same row for `odd`, whose passwords need encoding.
fn odd(uri: &str) -> String {
    [PASSWORD, WRONG].into_iter().fold(uri.to_owned(), |uri, password| {
        let encoded = utf8_percent_encode(&format!("{password}{TAIL}"), NON_ALPHANUMERIC).to_string();
        uri.replace(&format!("circle:{password}@"), &format!("odd:{encoded}@"))
    })
}

/// # Panics
/// When a secret of the table, or its like in another form, is in what was printed.
#[track_caller]
pub(crate) fn keeps_its_secrets(printed: &Finished) {
    let hexadecimal: String = WORD.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut forms = vec![WORD.to_owned(), hexadecimal.to_uppercase(), hexadecimal];
    for offset in 0..3 {
        // Base64 takes three bytes at a time, so what it makes of the word depends on where the word begins.
        let whole = &WORD[offset..];
        let whole = &whole[..whole.len() / 3 * 3];
        forms.extend([STANDARD_NO_PAD.encode(whole), URL_SAFE_NO_PAD.encode(whole)]);
    }
    for form in forms {
        assert!(!printed.says(&form), "a secret as {form}\n{printed}");
    }
}

/// A box that resolves names its own way. What lies in the directory for temporary files lies there for it as well.
pub(crate) struct Node {
    world: CommandContext,
}

impl Node {
    /// Knows the names of `hosts`; every other one does not exist.
    pub(crate) fn new(hosts: &str) -> Self {
        Self::asking(&format!("nameserver {}\n", nameserver()), hosts)
    }

    /// Has this `/etc/resolv.conf` and `/etc/hosts`.
    pub(crate) fn asking(resolver: &str, hosts: &str) -> Self {
        let world = CommandContext::new();
        world.write("/etc/hosts", hosts);
        world.write("/etc/resolv.conf", resolver);
        let node = Self { world };
        let temporary = std::env::temp_dir();
        let inside = node.world.path(temporary.to_str().unwrap());
        // An empty one is part of every world.
        let _ = std::fs::remove_dir(&inside);
        std::fs::create_dir_all(inside.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(temporary, inside).unwrap();
        node
    }

    /// Makes `directory` appear at `path`.
    pub(crate) fn link(&self, path: &str, directory: &Path) {
        std::os::unix::fs::symlink(directory, self.world.path(path)).unwrap();
    }

    pub(crate) fn world(&self) -> &CommandContext {
        &self.world
    }

    /// `agent probe --uri -` with this URI on its standard input.
    pub(crate) fn probe(&self, uri: &str) -> Agent {
        Agent::new(&self.world).args(["probe", "--uri", "-"]).input(uri)
    }

    /// What the program finds about `uri`; all four runs must agree.
    #[track_caller]
    pub(crate) fn diagnose(&self, uri: &str) -> Diagnosis {
        let mut uris = vec![uri.to_owned(), odd(uri)];
        uris.dedup();
        let runs: Vec<(Running, Running)> = uris
            .iter()
            .map(|uri| {
                let json = self.probe(uri).args(["--output", "json", "-v"]).spawn();
                (json, self.probe(uri).spawn())
            })
            .collect();
        let mut found: Vec<Diagnosis> = Vec::new();
        for (json, text) in runs {
            let json = json.finish(CLIMB_LIMIT * 2);
            let text = text.finish(CLIMB_LIMIT * 2);
            keeps_its_secrets(&json);
            keeps_its_secrets(&text);
            let diagnosis = Diagnosis::read(&json);
            assert_eq!(text.code, json.code, "{text}\n{json}");
            if let Some((rung, cause)) = diagnosis.failure() {
                text.assert_says(cause.kind.as_str())
                    .assert_says(&cause.next_step)
                    .assert_says(&diagnosis.id(rung));
            }
            found.push(diagnosis);
        }
        let (first, others) = found.split_first().unwrap();
        for other in others {
            let summary =
                |one: &Diagnosis| one.failure().map(|(rung, cause)| (rung, cause.kind, cause.class));
            assert_eq!(summary(other), summary(first), "{other:?}\n{first:?}");
        }
        found.remove(0)
    }

    /// What one run alone finds, for what may change from one run to the next.
    #[track_caller]
    pub(crate) fn once(&self, uri: &str) -> Diagnosis {
        Diagnosis::read(&self.probe(uri).args(["--output", "json"]).run(CLIMB_LIMIT * 2))
    }

    /// A row: the probe must fail on `rung` with this cause, every rung below it good and every one above it skipped.
    #[track_caller]
    pub(crate) fn breaks(&self, uri: &str, rung: Rung, kind: &str, class: Class, next_step: &str) -> Cause {
        self.diagnose(uri).breaks(rung, kind, class, next_step)
    }

    /// A row: all seven rungs are good.
    #[track_caller]
    pub(crate) fn holds(&self, uri: &str) -> Diagnosis {
        let diagnosis = self.diagnose(uri);
        assert!(diagnosis.is_good(), "{diagnosis:?}");
        diagnosis
    }
}

/// What one run said, as JSON.
pub(crate) struct Diagnosis {
    report: Value,
    code: Option<i32>,
}

impl fmt::Debug for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "exit code {:?}", self.code)?;
        for check in self.report["checks"].as_array().into_iter().flatten() {
            writeln!(f, "{check}")?;
        }
        Ok(())
    }
}

impl Diagnosis {
    #[track_caller]
    fn read(printed: &Finished) -> Self {
        let report: Value =
            serde_json::from_str(&printed.stdout).unwrap_or_else(|error| panic!("{error}: {printed}"));
        let own = report["seconds"].as_f64().unwrap();
        // A timer is told late on a busy machine, and never early.
        assert!(Duration::from_secs_f64(own) < CLIMB_LIMIT * 3, "{printed}");
        let diagnosis = Self { report, code: printed.code };
        assert_eq!(diagnosis.rungs().len(), diagnosis.kind().rungs().len(), "{printed}");
        let expected = i32::from(diagnosis.failure().is_some());
        assert_eq!(printed.code, Some(expected), "{printed}");
        diagnosis
    }

    /// The id of a rung's check.
    pub(crate) fn id(&self, rung: Rung) -> String {
        let first = self.report["checks"][0]["id"].as_str().unwrap();
        let (database, _) = first.rsplit_once('.').unwrap();
        assert!(["postgres.given", "mongodb.given"].contains(&database), "{self:?}");
        format!("{database}.{rung}")
    }

    fn kind(&self) -> Product {
        Product::of_name(self.report["checks"][0]["id"].as_str().unwrap()).unwrap()
    }

    fn check(&self, id: &str) -> &Value {
        let checks = self.report["checks"].as_array().unwrap();
        let found = checks.iter().find(|check| check["id"] == id);
        found.unwrap_or_else(|| panic!("no check {id}: {self:?}"))
    }

    fn rungs(&self) -> Vec<(Rung, &Value)> {
        self.kind().rungs().iter().map(|&rung| (rung, self.check(&self.id(rung)))).collect()
    }

    pub(crate) fn failure(&self) -> Option<(Rung, Cause)> {
        let (rung, check) = self.rungs().into_iter().find(|(_, check)| check["outcome"] == "failed")?;
        Some((rung, serde_json::from_value(check["cause"].clone()).unwrap()))
    }

    pub(crate) fn is_good(&self) -> bool {
        self.rungs().iter().all(|(_, check)| check["outcome"] == "good") && self.code == Some(0)
    }

    /// What a good rung says was found.
    #[track_caller]
    pub(crate) fn detail(&self, rung: Rung) -> String {
        let check = self.check(&self.id(rung));
        check["detail"].as_str().unwrap_or_else(|| panic!("{rung} is not good: {self:?}")).to_owned()
    }

    /// How long the whole took by its own clock.
    pub(crate) fn took(&self) -> Duration {
        Duration::from_secs_f64(self.report["seconds"].as_f64().unwrap())
    }

    #[track_caller]
    pub(crate) fn breaks(&self, rung: Rung, kind: &str, class: Class, next_step: &str) -> Cause {
        let Some((broken, cause)) = self.failure() else { panic!("nothing broke: {self:?}") };
        assert_eq!((broken, cause.kind.as_str(), cause.class), (rung, kind, class), "{self:?}");
        assert!(cause.next_step.contains(next_step), "{next_step:?} is not in {cause:#?}");
        let id = self.id(rung);
        for (at, check) in self.rungs() {
            let fits = match check["outcome"].as_str().unwrap() {
                "good" => at < rung,
                "failed" => at == rung,
                "skipped" => at > rung && check["waits_for"] == id,
                _ => false,
            };
            assert!(fits, "{at}: {self:?}");
        }
        let roots = self.report["root_causes"].as_array().unwrap();
        let failures: Vec<_> = roots.iter().filter(|root| root["is_failure"] == true).collect();
        assert_eq!(failures.len(), 1, "{self:?}");
        assert_eq!(failures[0]["seen_by"][0], id, "{self:?}");
        cause
    }

    /// What deserves a look although nothing is broken by it, each finding for itself.
    pub(crate) fn warnings(&self) -> Vec<Cause> {
        let advice = self.check(&self.id(Rung::Uri).replace(".uri", ".advice"));
        if advice["outcome"] != "warning" {
            return Vec::new();
        }
        let also = advice["also"].as_array().cloned().unwrap_or_default();
        let all = std::iter::once(advice["cause"].clone()).chain(also);
        all.map(|cause| serde_json::from_value(cause).unwrap()).collect()
    }

    /// The kinds of all warnings.
    pub(crate) fn warned_of(&self) -> Vec<String> {
        self.warnings().into_iter().map(|cause| cause.kind.to_string()).collect()
    }

    /// # Panics
    /// Unless it warns of this kind.
    #[track_caller]
    pub(crate) fn warns(&self, kind: &str) -> Cause {
        let found = self.warnings().into_iter().find(|cause| cause.kind.as_str() == kind);
        found.unwrap_or_else(|| panic!("no warning {kind}: {self:?}"))
    }
}

/// Says of a cause that it has this evidence.
#[track_caller]
pub(crate) fn shows(cause: &Cause, name: &str, value: &str) {
    let found = cause.evidence.iter().any(|one| one.name == name && one.value.contains(value));
    assert!(found, "{name} does not say {value:?}: {cause:#?}");
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

/// An `/etc/resolv.conf` that names a DNS server which hears every question and answers none.
pub(crate) fn silent_nameserver() -> &'static str {
    static SERVER: OnceLock<UdpSocket> = OnceLock::new();
    SERVER.get_or_init(|| UdpSocket::bind("127.0.0.79:53").unwrap());
    "nameserver 127.0.0.79\noptions timeout:1 attempts:2\n"
}

/// An address at which a connection is neither accepted nor refused, as behind a firewall that drops: the queue of who
/// waits to be accepted is full.
pub(crate) struct BlackHole {
    listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

impl BlackHole {
    pub(crate) fn open() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let listener = {
            // The standard library has no word for the length of the queue.
            let _inside = runtime.enter();
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
            socket.listen(1).unwrap().into_std().unwrap()
        };
        let address = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) {
            waiting.push(stream);
            assert!(waiting.len() < 100, "the queue does not fill");
        }
        Self { listener, _waiting: waiting }
    }

    /// Host and port.
    pub(crate) fn address(&self) -> String {
        self.listener.local_addr().unwrap().to_string()
    }
}
