//! Names are resolved as the C library resolves them: each row is asked of both, with the same resolv.conf, hosts and
//! nsswitch.conf, and of real DNS servers.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use boot_agent::cause::Cause;
use boot_agent::dns::Resolver;
use boot_agent::files::Root;
use hickory_proto::op::ResponseCode;

use super::harness::dns::{self, Manner, Server};

/// What the servers of these tests know.
const ZONE: &str = "db.internal 10.0.0.1; both.internal 10.0.0.2; both.internal fd00::2; six.internal fd00::3; \
    alias.internal CNAME db.internal; long.internal CNAME alias.internal; \
    dangling.internal CNAME gone.internal; loop.internal CNAME pool.internal; pool.internal CNAME loop.internal; \
    self.internal CNAME self.internal; empty.internal TXT; aliasempty.internal CNAME empty.internal; \
    short 10.0.0.9; web.corp.internal 10.0.1.1; web.eng.internal 10.0.2.1; a.b.corp.internal 10.0.1.2; a.b 10.0.0.7; \
    data.corp.internal TXT; data.eng.internal 10.0.2.2; under_score.internal 10.0.0.8";

/// Another view of the same names.
const OTHER: &str = "db.internal 10.9.9.1; only.other 10.9.9.2; web.corp.internal 10.9.9.3";

const KNOWS: Manner = Manner::Knows(ZONE);

/// One set of resolver files, and a name.
struct Row {
    servers: &'static [Manner],
    /// More lines of resolv.conf.
    lines: &'static str,
    hosts: &'static str,
    nsswitch: &'static str,
    name: &'static str,
    /// The addresses, or the kind of the cause.
    expected: Result<&'static [&'static str], &'static str>,
}

const fn row(
    servers: &'static [Manner],
    lines: &'static str,
    name: &'static str,
    expected: Result<&'static [&'static str], &'static str>,
) -> Row {
    Row { servers, lines, hosts: "", nsswitch: "hosts: files dns\n", name, expected }
}

const fn in_files(
    nsswitch: &'static str,
    hosts: &'static str,
    name: &'static str,
    expected: Result<&'static [&'static str], &'static str>,
) -> Row {
    Row { servers: &[KNOWS], lines: "", hosts, nsswitch, name, expected }
}

const FAST: &str = "options timeout:1 attempts:1\n";
const CORP: &str = "search corp.internal eng.internal\n";

const ROWS: &[Row] = &[
    // One server.
    row(&[KNOWS], "", "db.internal", Ok(&["10.0.0.1"])),
    row(&[KNOWS], "", "DB.Internal.", Ok(&["10.0.0.1"])),
    row(&[KNOWS], "", "both.internal", Ok(&["10.0.0.2", "fd00::2"])),
    row(&[KNOWS], "", "six.internal", Ok(&["fd00::3"])),
    row(&[KNOWS], "", "alias.internal", Ok(&["10.0.0.1"])),
    row(&[KNOWS], "", "long.internal", Ok(&["10.0.0.1"])),
    row(&[KNOWS], "", "under_score.internal", Ok(&["10.0.0.8"])),
    row(&[KNOWS], "", "no.internal", Err("dns.no_such_name")),
    row(&[KNOWS], "", "empty.internal", Err("dns.no_address")),
    row(&[KNOWS], "", "aliasempty.internal", Err("dns.no_address")),
    row(&[KNOWS], "", "dangling.internal", Err("dns.dangling_alias")),
    row(&[KNOWS], FAST, "loop.internal", Err("dns.cname_loop")),
    row(&[KNOWS], FAST, "self.internal", Err("dns.cname_loop")),
    row(&[Manner::AliasOnly(ZONE)], "", "loop.internal", Err("dns.cname_loop")),
    row(&[Manner::AliasOnly(ZONE)], "", "dangling.internal", Err("dns.dangling_alias")),
    row(&[Manner::AliasOnly(ZONE)], "", "aliasempty.internal", Err("dns.no_address")),
    row(&[Manner::AliasOnly(ZONE)], "", "alias.internal", Err("dns.alias_not_followed")),
    row(&[Manner::AliasOnly(ZONE)], "", "db.internal", Ok(&["10.0.0.1"])),
    // Ways of a server.
    row(&[Manner::Truncates(ZONE)], "", "both.internal", Ok(&["10.0.0.2", "fd00::2"])),
    row(&[KNOWS], "options use-vc\n", "both.internal", Ok(&["10.0.0.2", "fd00::2"])),
    row(&[KNOWS], "options edns0\n", "both.internal", Ok(&["10.0.0.2", "fd00::2"])),
    row(&[Manner::WithoutEdns(ZONE)], "", "db.internal", Ok(&["10.0.0.1"])),
    row(&[Manner::WithoutEdns(ZONE)], "options edns0\n", "db.internal", Err("dns.server_failure")),
    row(&[Manner::Forged(ZONE)], FAST, "db.internal", Ok(&["10.0.0.1"])),
    row(&[Manner::Forged(ZONE)], FAST, "no.internal", Err("dns.no_such_name")),
    row(&[Manner::DropsIpv6(ZONE)], FAST, "db.internal", Ok(&["10.0.0.1"])),
    row(&[Manner::DropsIpv6(ZONE)], FAST, "empty.internal", Err("dns.no_address")),
    row(&[Manner::FailsIpv6(ResponseCode::ServFail, ZONE)], "", "both.internal", Ok(&["10.0.0.2"])),
    row(&[Manner::FailsIpv6(ResponseCode::NXDomain, ZONE)], "", "both.internal", Ok(&["10.0.0.2"])),
    row(&[Manner::FailsIpv6(ResponseCode::NotImp, ZONE)], "", "both.internal", Ok(&["10.0.0.2"])),
    row(&[KNOWS], "options single-request\n", "both.internal", Ok(&["10.0.0.2", "fd00::2"])),
    // An answer is an answer; only who gives none is passed over.
    row(&[KNOWS, Manner::Knows(OTHER)], "", "db.internal", Ok(&["10.0.0.1"])),
    row(&[Manner::Knows(OTHER), KNOWS], "", "db.internal", Ok(&["10.9.9.1"])),
    row(&[KNOWS, Manner::Knows(OTHER)], "", "only.other", Err("dns.no_such_name")),
    row(&[KNOWS, Manner::Knows("empty.internal 10.9.9.9")], "", "empty.internal", Err("dns.no_address")),
    row(&[Manner::Says(ResponseCode::ServFail), KNOWS], "", "db.internal", Ok(&["10.0.0.1"])),
    row(&[Manner::Says(ResponseCode::Refused), KNOWS], "", "db.internal", Ok(&["10.0.0.1"])),
    row(&[Manner::Says(ResponseCode::NotImp), KNOWS], "", "no.internal", Err("dns.no_such_name")),
    row(&[Manner::Says(ResponseCode::FormErr), KNOWS], "", "db.internal", Err("dns.server_failure")),
    row(&[Manner::Refers, KNOWS], "", "db.internal", Ok(&["10.0.0.1"])),
    row(&[Manner::Silent, KNOWS], FAST, "db.internal", Ok(&["10.0.0.1"])),
    row(
        &[Manner::Silent, Manner::Says(ResponseCode::ServFail), KNOWS],
        FAST,
        "db.internal",
        Ok(&["10.0.0.1"]),
    ),
    row(
        &[Manner::Late(1500, ZONE), Manner::Knows(OTHER)],
        "options timeout:5\n",
        "db.internal",
        Ok(&["10.0.0.1"]),
    ),
    row(&[Manner::Late(3000, ZONE)], "options timeout:5\n", "db.internal", Ok(&["10.0.0.1"])),
    row(&[Manner::Late(3000, ZONE)], FAST, "db.internal", Err("dns.timeout")),
    row(&[Manner::Silent], FAST, "db.internal", Err("dns.timeout")),
    row(&[Manner::Says(ResponseCode::ServFail)], "", "db.internal", Err("dns.server_failure")),
    row(&[Manner::Says(ResponseCode::Refused)], "", "db.internal", Err("dns.server_failure")),
    // The search list.
    row(&[KNOWS], CORP, "web", Ok(&["10.0.1.1"])),
    row(&[KNOWS], "search eng.internal corp.internal\n", "web", Ok(&["10.0.2.1"])),
    row(&[KNOWS], "domain eng.internal\n", "web", Ok(&["10.0.2.1"])),
    row(&[KNOWS], "search nowhere\ndomain eng.internal\n", "web", Ok(&["10.0.2.1"])),
    row(&[KNOWS], CORP, "web.", Err("dns.no_such_name")),
    row(&[KNOWS], CORP, "short", Ok(&["10.0.0.9"])),
    row(&[KNOWS], "search corp.internal\noptions no-tld-query\n", "short", Err("dns.no_such_name")),
    row(&[KNOWS], "search .\n", "short", Ok(&["10.0.0.9"])),
    row(&[KNOWS], CORP, "a.b", Ok(&["10.0.0.7"])),
    row(&[KNOWS], "search corp.internal\noptions ndots:2\n", "a.b", Ok(&["10.0.1.2"])),
    row(&[KNOWS], "search corp.internal\noptions ndots:0\n", "short", Ok(&["10.0.0.9"])),
    row(&[KNOWS], "search corp.internal\noptions ndots:5\n", "db.internal", Ok(&["10.0.0.1"])),
    row(&[KNOWS], CORP, "data", Ok(&["10.0.2.2"])),
    row(&[KNOWS], "search corp.internal\n", "data", Err("dns.no_address")),
    row(&[KNOWS], CORP, "none", Err("dns.no_such_name")),
    row(&[Manner::Says(ResponseCode::ServFail)], CORP, "web", Err("dns.server_failure")),
    // The files.
    in_files("hosts: files dns\n", "10.7.7.7 db.internal\n", "db.internal", Ok(&["10.7.7.7"])),
    in_files("hosts: dns files\n", "10.7.7.7 db.internal\n", "db.internal", Ok(&["10.0.0.1"])),
    in_files("hosts: dns files\n", "10.7.7.7 listed\n", "listed", Ok(&["10.7.7.7"])),
    in_files("hosts: dns [NOTFOUND=return] files\n", "10.7.7.7 listed\n", "listed", Err("dns.no_such_name")),
    in_files("hosts: dns [!UNAVAIL=return] files\n", "10.7.7.7 listed\n", "listed", Err("dns.no_such_name")),
    in_files("hosts: files\n", "", "db.internal", Err("dns.no_such_name")),
    in_files("hosts: files [NOTFOUND=return] dns\n", "", "db.internal", Err("dns.no_such_name")),
    in_files("", "10.7.7.7 X.Listed # y\nfd00::7 x.listed\n", "x.listed", Ok(&["10.7.7.7", "fd00::7"])),
    in_files("", "10.7.7.7 db.internal\n", "db.internal.", Ok(&["10.0.0.1"])),
    in_files("hosts: files nothere dns\n", "", "db.internal", Ok(&["10.0.0.1"])),
];

/// The resolver files of one row.
struct Files {
    directory: tempfile::TempDir,
}

impl Files {
    fn new(servers: &[Server], lines: &str, hosts: &str, nsswitch: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let etc = directory.path().join("etc");
        std::fs::create_dir(&etc).unwrap();
        let servers = servers.iter().map(|server| format!("nameserver {}\n", server.address));
        std::fs::write(etc.join("resolv.conf"), servers.collect::<String>() + lines).unwrap();
        std::fs::write(etc.join("hosts"), hosts).unwrap();
        std::fs::write(etc.join("nsswitch.conf"), nsswitch).unwrap();
        Files { directory }
    }

    fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, Cause> {
        let names = Resolver::new(Root::new(self.directory.path()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(names.addresses(name))
    }

    /// The addresses, or the number of the error, as glibc has them.
    fn resolve_by_libc(&self, name: &str) -> Result<BTreeSet<IpAddr>, i32> {
        let script = r#"
for file in resolv.conf hosts nsswitch.conf; do mount --bind "$1/etc/$file" "/etc/$file" || exit 9; done
exec python3 -c '
import socket, sys
try:
    print(*{found[4][0] for found in socket.getaddrinfo(sys.argv[1], None)})
except socket.gaierror as error:
    print("error", error.errno)
' "$2""#;
        let directory = self.directory.path().to_str().unwrap();
        let output = Command::new("unshare")
            .args(["--mount", "sh", "-c", script, "sh", directory, name])
            .env_remove("LOCALDOMAIN")
            .env_remove("RES_OPTIONS")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let words = String::from_utf8(output.stdout).unwrap();
        match words.trim().strip_prefix("error ") {
            Some(number) => Err(number.parse().unwrap()),
            None => Ok(words.split_whitespace().map(|word| word.parse().unwrap()).collect()),
        }
    }
}

/// Whether glibc's error says the same as our kind.
fn means_the_same(kind: &str, error: i32) -> bool {
    let (no_name, again, fail, no_data) = (-2, -3, -4, -5);
    match kind {
        "dns.no_such_name" => error == no_name,
        "dns.no_address" => error == no_data || error == no_name,
        "dns.dangling_alias" | "dns.alias_not_followed" => [no_name, no_data].contains(&error),
        "dns.cname_loop" => [no_name, no_data, again].contains(&error),
        "dns.timeout" => error == again,
        // For FORMERR, an error of the server's, glibc gives the number of a name that does not exist.
        "dns.server_failure" => [again, fail, no_name].contains(&error),
        _ => false,
    }
}

fn judge(row: &Row) -> Result<(), String> {
    let servers: Vec<Server> = row.servers.iter().map(|manner| Server::start(*manner)).collect();
    let files = Files::new(&servers, row.lines, row.hosts, row.nsswitch);
    let (ours, libc) = thread::scope(|scope| {
        let libc = scope.spawn(|| files.resolve_by_libc(row.name));
        (files.resolve(row.name), libc.join().unwrap())
    });
    let what = format!("{} of {:?} {:?} {:?}", row.name, row.servers, row.lines, row.nsswitch);
    let expected: Result<BTreeSet<IpAddr>, &str> =
        row.expected.map(|addresses| addresses.iter().map(|address| address.parse().unwrap()).collect());
    let agree = match (&ours, &libc) {
        (Ok(ours), Ok(libc)) => ours.iter().copied().collect::<BTreeSet<_>>() == *libc,
        (Err(cause), Err(error)) => means_the_same(cause.kind.as_str(), *error),
        _ => false,
    };
    let as_expected = match (&ours, &expected) {
        (Ok(ours), Ok(expected)) => ours.iter().copied().collect::<BTreeSet<_>>() == *expected,
        (Err(cause), Err(kind)) => cause.kind.as_str() == *kind,
        _ => false,
    };
    match agree && as_expected {
        true => Ok(()),
        false => Err(format!("{what}: expected {expected:?}, glibc {libc:?}, ours {ours:?}")),
    }
}

#[test]
fn every_name_is_resolved_as_by_the_c_library() {
    let wrong: Vec<String> = thread::scope(|scope| {
        let parts: Vec<_> = (0..6)
            .map(|part| {
                scope.spawn(move || {
                    ROWS.iter().skip(part).step_by(6).filter_map(|row| judge(row).err()).collect::<Vec<_>>()
                })
            })
            .collect();
        parts.into_iter().flat_map(|part| part.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), ROWS.len(), wrong.join("\n"));
}

/// With two views of one name the answer is that of the first server, each time, and the second is not even asked.
#[test]
fn a_split_horizon_is_resolved_the_same_way_each_time() {
    for (first, expected) in [(KNOWS, Err("dns.no_such_name")), (Manner::Knows(OTHER), Ok("10.9.9.2"))] {
        let second = match expected {
            Ok(_) => Server::start(KNOWS),
            Err(_) => Server::start(Manner::Knows(OTHER)),
        };
        let files = Files::new(&[Server::start(first), second.clone()], "", "", "");
        for run in 0..30 {
            let answer = files.resolve("only.other");
            match expected {
                Ok(address) => assert_eq!(answer.unwrap(), [address.parse::<IpAddr>().unwrap()], "run {run}"),
                Err(kind) => assert_eq!(answer.unwrap_err().kind.as_str(), kind, "run {run}"),
            }
        }
        assert_eq!(second.times_asked(), 0);
    }
}

#[test]
fn a_server_failure_in_front_is_passed_over_each_time() {
    let files =
        Files::new(&[Server::start(Manner::Says(ResponseCode::ServFail)), Server::start(KNOWS)], "", "", "");
    for run in 0..30 {
        assert_eq!(
            files.resolve("db.internal").unwrap(),
            ["10.0.0.1".parse::<IpAddr>().unwrap()],
            "run {run}"
        );
    }
}

#[test]
fn rotate_spreads_questions_over_the_servers() {
    let servers = [Server::start(KNOWS), Server::start(KNOWS), Server::start(KNOWS), Server::start(KNOWS)];
    let files = Files::new(&servers, "options rotate\n", "", "");
    for _ in 0..12 {
        files.resolve("db.internal").unwrap();
    }
    let asked: Vec<usize> = servers.iter().map(Server::times_asked).collect();
    // Two questions each time, IPv4 and IPv6; other tests of this process take turns as well. The fourth server of a
    // resolv.conf is never asked.
    assert!(asked[..3].iter().all(|asked| *asked > 0), "{asked:?}");
    assert_eq!(asked.iter().sum::<usize>(), 24, "{asked:?}");
    assert_eq!(asked[3], 0);
}

#[test]
fn evidence_names_who_was_asked_and_what_each_said() {
    let said = |servers: &[Server], name: &str| {
        let cause = Files::new(servers, FAST, "", "").resolve(name).unwrap_err();
        let of_servers = cause.evidence.iter().filter(|it| it.name == "DNS server" || it.name == "aliases");
        (cause.kind.to_string(), of_servers.map(|it| it.value.clone()).collect::<Vec<_>>())
    };
    let silent = Server::start(Manner::Silent);
    let failing = Server::start(Manner::Says(ResponseCode::ServFail));
    let nobody = Server { address: dns::nobody(), asked: Arc::default() };
    let (kind, evidence) = said(&[silent.clone(), nobody.clone()], "db.internal");
    assert_eq!(kind, "dns.timeout");
    assert_eq!(evidence[0], format!("{}: no response within 1000 ms", silent.address));
    assert!(evidence[1].starts_with(&format!("{}: Connection refused", nobody.address)), "{evidence:?}");
    let (kind, evidence) = said(&[silent, failing.clone()], "db.internal");
    assert_eq!((kind.as_str(), evidence.len()), ("dns.server_failure", 2));
    assert_eq!(evidence[1], format!("{}: SERVFAIL", failing.address));
    let (kind, evidence) = said(&[Server::start(KNOWS)], "dangling.internal");
    assert_eq!(
        (kind.as_str(), evidence[0].as_str()),
        ("dns.dangling_alias", "dangling.internal → gone.internal")
    );
}

/// A question ends, however many silent servers, attempts and domains there are.
#[test]
fn one_name_takes_no_longer_than_the_limit() {
    let servers: Vec<Server> = (0..3).map(|_| Server::start(Manner::Silent)).collect();
    let started = Instant::now();
    let lines = "search a b c d e f\noptions timeout:30 attempts:5\n";
    let cause = Files::new(&servers, lines, "", "").resolve("db").unwrap_err();
    assert_eq!(cause.kind.as_str(), "dns.timeout");
    let took = started.elapsed();
    assert!(took >= boot_agent::dns::LIMIT && took < boot_agent::dns::LIMIT * 4, "{took:?}");
}
