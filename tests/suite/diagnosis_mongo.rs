//! MongoDB, one thing broken at a time, and the cause that the ladder gives.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::thread;
use std::time::{Duration, Instant};

use boot_agent::cause::Class::{Config, External};
use boot_agent::database::ladder::Rung;
use nix::sys::signal::Signal;

use super::diagnosis::{Node, breaks, detail, publish, warns};
use super::harness::certificates::Authority;
use super::harness::mongo::{DATABASES, Mongo, Options, PASSWORD, Version};
use super::harness::parts;
use super::harness::postgres::Postgres;

/// `maxWireVersion` as it stands in BSON.
fn wire_version(number: i32) -> Vec<u8> {
    [b"maxWireVersion\0".as_slice(), &number.to_le_bytes()].concat()
}

/// A port that leads to `to`, where everything that the server says is said with `said` replaced by `instead` of the
/// same length: the one way to make a real server speak of names and versions that are not its own.
fn misquoting(to: u16, said: Vec<u8>, instead: Vec<u8>) -> u16 {
    assert_eq!(said.len(), instead.len());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(("127.0.0.1", to)) else { continue };
            let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || {
                let _ = std::io::copy(&mut from_client, &mut to_server);
                let _ = to_server.shutdown(Shutdown::Write);
            });
            let (said, instead) = (said.clone(), instead.clone());
            thread::spawn(move || misquote(server, client, &said, &instead));
        }
    });
    port
}

fn misquote(mut server: TcpStream, mut client: TcpStream, said: &[u8], instead: &[u8]) {
    let mut buffer = [0; 65536];
    while let Ok(length @ 1..) = server.read(&mut buffer) {
        let bytes = &mut buffer[..length];
        let mut at = 0;
        while let Some(found) = bytes[at..].windows(said.len()).position(|window| window == said) {
            bytes[at + found..at + found + said.len()].copy_from_slice(instead);
            at += found + said.len();
        }
        if client.write_all(bytes).is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Write);
}

fn nobody(mongo: &Mongo) -> String {
    format!("mongodb://127.0.0.1:{}/?directConnection=true", mongo.port())
}

fn until(what: &str, mut good: impl FnMut() -> bool) {
    let started = Instant::now();
    while !good() {
        assert!(started.elapsed() < Duration::from_secs(60), "{what} takes too long");
        thread::sleep(Duration::from_millis(200));
    }
}

/// A replica set `rs0` whose first member is primary, with the users of the harness.
struct Set {
    members: Vec<Mongo>,
    _key: tempfile::TempDir,
}

impl Set {
    fn start(version: Version, members: usize, arbiter_last: bool) -> Self {
        let directory = parts::directory("set");
        let key = directory.path().join("key");
        fs::write(&key, "c2VjcmV0IG9mIHRoZSBzZXQ=").unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        let key_file = key.to_str().unwrap();
        let members: Vec<Mongo> = (0..members)
            .map(|_| {
                let arguments = ["--replSet", "rs0", "--keyFile", key_file];
                Options::new(version).args(&arguments).start_without_users()
            })
            .collect();
        let last = members.len() - 1;
        let entries = members.iter().enumerate().map(|(index, member)| {
            let role = match index {
                0 => r#""priority": 2"#,
                index if index == last && arbiter_last => r#""arbiterOnly": true"#,
                _ => r#""priority": 1"#,
            };
            format!(r#"{{"_id": {index}, "host": "127.0.0.1:{}", {role}}}"#, member.port())
        });
        let entries = entries.collect::<Vec<_>>().join(", ");
        let initiate = format!(
            r#"{{"replSetInitiate": {{"_id": "rs0", "members": [{entries}], "settings": {{"electionTimeoutMillis": 2000}}}}}}"#
        );
        let said = Mongo::try_command(&nobody(&members[0]), "admin", &[&initiate]);
        assert!(said.status.success(), "{said:?}");
        let set = Self { members, _key: directory };
        set.has_primary();
        set.members[0].create_users();
        set
    }

    /// Waits until the first member is primary.
    fn has_primary(&self) {
        until("the election", || {
            let said = Mongo::try_command(&nobody(&self.members[0]), "admin", &[r#"{"isMaster": 1}"#]);
            String::from_utf8_lossy(&said.stdout).contains(r#""ismaster": true"#)
        });
        until("the second member", || {
            let second = self.members.iter().skip(1).take(1);
            second.into_iter().all(|member| {
                let said = Mongo::try_command(&nobody(member), "admin", &[r#"{"isMaster": 1}"#]);
                String::from_utf8_lossy(&said.stdout).contains(r#""secondary": true"#)
            })
        });
    }

    fn uri(&self, seeds: &[usize], options: &str) -> String {
        let seeds: Vec<String> =
            seeds.iter().map(|index| format!("127.0.0.1:{}", self.members[*index].port())).collect();
        format!("mongodb://circle:{PASSWORD}@{}/circle_ghe?authSource=admin{options}", seeds.join(","))
    }
}

#[test]
fn healthy_alone_in_both_protocols_and_both_mechanisms() {
    let node = Node::new("");
    for version in [Version::V6_0, Version::V4_4] {
        let mongo = Options::new(version).start();
        let uri = mongo.uri("circle_ghe");
        let climb = node.holds(&uri);
        assert!(detail(&climb, Rung::Auth).contains("SCRAM-SHA-256"), "{climb:?}");
        assert!(detail(&climb, Rung::Role).contains(if version == Version::V6_0 {
            "6.0.5"
        } else {
            "4.4.2"
        }));
        assert_eq!(
            climb.warnings.iter().any(|warning| warning.kind == "mongo.version"),
            version == Version::V6_0
        );
        let sha1 = node.holds(&format!("{uri}&authMechanism=SCRAM-SHA-1"));
        assert!(detail(&sha1, Rung::Auth).contains("SCRAM-SHA-1"), "{sha1:?}");
    }
}

#[test]
fn a_server_of_the_first_days_is_spoken_to_in_its_own_words() {
    let mongo = Options::new(Version::V4_4).start();
    // 4.4 takes every command by OP_QUERY, as 3.2 does; it only has to say that it is one.
    let port = misquoting(mongo.port(), wire_version(9), wire_version(4));
    let uri = mongo.uri("circle_ghe").replace(&mongo.port().to_string(), &port.to_string());
    let climb = Node::new("").holds(&uri);
    assert!(climb.warnings.is_empty(), "{climb:?}");
    let old = misquoting(mongo.port(), wire_version(9), wire_version(3));
    let uri = uri.replace(&port.to_string(), &old.to_string());
    warns(&Node::new("").holds(&uri), "mongo.version");
}

#[test]
fn seeds_out_of_dns() {
    let mongo = Options::new(Version::V6_0).start();
    publish("cluster.test.internal", "db1.test.internal", mongo.port(), "authSource=admin");
    let node = Node::new("");
    let login = format!("mongodb+srv://circle:{PASSWORD}@");
    let climb = node.holds(&format!("{login}cluster.test.internal/circle_ghe?tls=false"));
    assert_eq!(detail(&climb, Rung::Dns), "db1.test.internal is 127.0.0.1");
    // What the TXT record says counts only where the URI is silent.
    let other = format!("{login}cluster.test.internal/circle_ghe?tls=false&authSource=circle_ghe");
    node.breaks(&other, Rung::Auth, "mongo.wrong_auth_source", Config, "authSource=admin");
    // TLS is on unless the URI says no.
    let secure = format!("{login}cluster.test.internal/circle_ghe?tlsInsecure=true");
    node.breaks(&secure, Rung::Tls, "tls.refused", Config, "remove ssl=true");
    publish("forged.test.internal", "db1.elsewhere.internal", mongo.port(), "authSource=admin");
    let forged = format!("{login}forged.test.internal/circle_ghe?tls=false");
    node.breaks(&forged, Rung::Dns, "mongo.srv_foreign", Config, "SRV records");
    publish("odd.test.internal", "db1.test.internal", mongo.port(), "ssl=false");
    let odd = format!("{login}odd.test.internal/circle_ghe");
    node.breaks(&odd, Rung::Dns, "mongo.uri", Config, "TXT record");
    let missing = format!("{login}missing.test.internal/circle_ghe");
    node.breaks(&missing, Rung::Dns, "dns.no_such_name", Config, "Correct");
}

#[test]
fn a_password_that_needs_encoding() {
    let mongo = Options::new(Version::V4_4).start();
    let roles = r#"[{"role": "readWrite", "db": "circle_ghe"}]"#;
    let user =
        r#"{"createUser": "a,b=c", "pwd": "c@nary/p:%#? \u00e4", "roles": ROLES}"#.replace("ROLES", roles);
    mongo.command("admin", &[&user]);
    let uri = mongo
        .uri("circle_ghe")
        .replace(&format!("circle:{PASSWORD}"), "a%2Cb%3Dc:c%40nary%2Fp%3A%25%23%3F%20%C3%A4");
    let node = Node::new("");
    node.holds(&uri);
    node.holds(&format!("{uri}&authMechanism=SCRAM-SHA-1"));
    node.breaks(&uri.replace("%25", "%26"), Rung::Auth, "mongo.login_rejected", Config, "Correct user");
    let postgres = Postgres::start();
    postgres.sql("postgres", "alter role circle password 'c@nary/p:%#? ä'");
    let uri = postgres.uri().replace(Postgres::PASSWORD, "c%40nary%2Fp%3A%25%23%3F%20%C3%A4");
    node.holds(&uri);
    let wrong = uri.replace("%25", "%26");
    node.breaks(&wrong, Rung::Auth, "postgres.password_rejected", Config, "Correct user");
    for raw in ["c@nary/p", "c%nary"] {
        let malformed = format!("postgres://circle:{raw}@127.0.0.1/circle");
        let cause = node.breaks(&malformed, Rung::Uri, "postgres.uri", Config, "Write the");
        assert!(cause.sentence.ends_with("in its password, at column 20."), "{cause:?}");
    }
}

#[test]
fn several_databases_are_asked_about_in_one_login() {
    let mongo = Options::new(Version::V6_0).start();
    let logins = || mongo.command("admin", &[r#"{"serverStatus": 1}"#]);
    let count = |status: &str| -> usize {
        let status: serde_json::Value = serde_json::from_str(status).unwrap();
        let mechanism = &status["security"]["authentication"]["mechanisms"]["SCRAM-SHA-256"];
        let text = mechanism["authenticate"]["successful"].to_string();
        text.chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap()
    };
    let before = count(&logins());
    let node = Node::new("");
    let uris = DATABASES.map(|database| mongo.uri(database));
    let mut all = uris.to_vec();
    all.push(mongo.uri("no_rights_here"));
    all.push("postgres://circle:some-password@127.0.0.1:1/circle".to_owned());
    all.push(mongo.uri("circle_ghe").replace(PASSWORD, "wrong-password"));
    let climbs = node.climb_all(&all);
    breaks(&climbs[5], Rung::Tcp, "tcp.refused", External, "PostgreSQL");
    breaks(&climbs[6], Rung::Auth, "mongo.login_rejected", Config, "Correct user");
    for climb in &climbs[..4] {
        assert!(climb.is_good(), "{climb:#?}");
    }
    breaks(&climbs[4], Rung::Database, "mongo.no_role", Config, "readWrite");
    // The climb's own, and the harness's for the second look.
    assert_eq!(count(&logins()) - before, 2);
}

#[test]
fn logins_that_the_server_refuses() {
    let node = Node::new("");
    for version in [Version::V6_0, Version::V4_4] {
        let mongo = Options::new(version).start();
        let uri = mongo.uri("circle_ghe");
        let rejected = "mongo.login_rejected";
        let cause =
            node.breaks(&uri.replace(PASSWORD, "wrong"), Rung::Auth, rejected, Config, "Correct user");
        assert!(
            cause.evidence.iter().any(|one| one.name == "code" && one.value.starts_with("18")),
            "{cause:?}"
        );
        node.breaks(&uri.replace("circle:", "stranger:"), Rung::Auth, rejected, Config, "authSource");
        let wrong = "mongo.wrong_auth_source";
        let unsaid = uri.replace("?authSource=admin", "");
        node.breaks(&unsaid, Rung::Auth, wrong, Config, "authSource=admin");
        node.breaks(&uri.replace("=admin", "=circle_ghe"), Rung::Auth, wrong, Config, "authSource=admin");
        let both_wrong = unsaid.replace(PASSWORD, "wrong");
        node.breaks(&both_wrong, Rung::Auth, rejected, Config, "add authSource=admin");
        let login = format!("circle:{PASSWORD}@");
        let nobody = uri.replace(&login, "").replace("?authSource=admin", "");
        node.breaks(&nobody, Rung::Auth, "mongo.login_required", Config, "USER:PASSWORD");

        mongo.command("admin", &[r#"{"createUser": "new", "pwd": "new-password", "roles": [], "mechanisms": ["SCRAM-SHA-256"]}"#]);
        let new = uri.replace(&login, "new:new-password@");
        node.breaks(&new, Rung::Database, "mongo.no_role", Config, "grantRolesToUser");
        let old = format!("{new}&authMechanism=SCRAM-SHA-1");
        node.breaks(&old, Rung::Auth, "mongo.mechanism", Config, "Remove authMechanism");
        let plain = format!("{uri}&authMechanism=PLAIN");
        node.breaks(&plain, Rung::Auth, "mongo.mechanism_unsupported", Config, "SCRAM");
        mongo.command(
            "admin",
            &[r#"{"createUser": "reader", "pwd": "reader-password", "roles": [{"role": "read", "db": "circle_ghe"}]}"#],
        );
        let cause = node.breaks(
            &uri.replace(&login, "reader:reader-password@"),
            Rung::Database,
            "mongo.no_role",
            Config,
            "readWrite",
        );
        assert!(cause.sentence.contains("may not write"), "{cause:?}");
    }
    let open = Options::new(Version::V6_0).without_login().start();
    node.holds(&format!("mongodb://127.0.0.1:{}/circle_ghe", open.port()));
}

#[test]
fn tls_and_certificates() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let certificate = authority.issue("mongo", &["IP:127.0.0.1", "DNS:localhost"], 10);
    let ca = authority.certificate();
    let ca = ca.to_str().unwrap();
    let node = Node::new("127.0.0.1 db.internal\n");
    for (version, more) in [
        (Version::V6_0, &[][..]),
        // What 3.2 offers: key exchange by RSA alone.
        (
            Version::V4_4,
            &[
                "--setParameter",
                "opensslCipherConfig=AES256-GCM-SHA384:AES128-SHA",
                "--tlsDisabledProtocols",
                "TLS1_3",
            ][..],
        ),
    ] {
        let arguments =
            ["--tlsMode", "requireTLS", "--tlsCAFile", ca, "--tlsAllowConnectionsWithoutCertificates"];
        let key = ["--tlsCertificateKeyFile", certificate.both.to_str().unwrap()];
        let mongo = Options::new(version)
            .args(&arguments)
            .args(&key)
            .args(more)
            .client_options(&format!("tls=true&tlsCAFile={ca}"))
            .start();
        let uri = mongo.uri("circle_ghe");
        let climb = node.holds(&uri);
        let suite = if version == Version::V4_4 { "TLSv1.2, AES256-GCM-SHA384" } else { "TLSv1.3" };
        assert!(detail(&climb, Rung::Tls).starts_with(suite), "{climb:?}");
        node.holds(&uri.replace("tls=true&tlsCAFile", "ssl=true&ssl_ca_certs"));

        let bare = uri.split("&tls=").next().unwrap();
        node.breaks(bare, Rung::Tls, "mongo.tls_required", Config, "ssl=true");
        let other = format!("{bare}&ssl=true&tlsCAFile={}", stranger.certificate().display());
        node.breaks(&other, Rung::Tls, "tls.unknown_ca", Config, "tlsCAFile");
        node.holds(&format!("{other}&tlsAllowInvalidCertificates=true"));
        let by_name = uri.replace("@127.0.0.1:", "@db.internal:");
        node.breaks(&by_name, Rung::Tls, "tls.wrong_name", Config, "a name that the certificate carries");
        node.holds(&format!("{by_name}&tlsAllowInvalidHostnames=true"));
        let missing = uri.replace(ca, "/no/such/ca.pem");
        node.breaks(&missing, Rung::Tls, "tls.ca_file", Config, "tlsCAFile");
    }
}

#[test]
fn tls_where_there_is_none_and_where_it_is_over() {
    let authority = Authority::new();
    let node = Node::new("");
    let plain = Options::new(Version::V6_0).start();
    let uri = format!("{}&ssl=true&tlsInsecure=true", plain.uri("circle_ghe"));
    node.breaks(&uri, Rung::Tls, "tls.refused", Config, "remove ssl=true");

    // mongod starts with no certificate that has expired already.
    let (short, ca) = (authority.issue_until("short", &["IP:127.0.0.1"], 15), authority.certificate());
    let expiry = Instant::now() + Duration::from_secs(16);
    let arguments = ["--tlsMode", "requireTLS", "--tlsCertificateKeyFile", short.both.to_str().unwrap()];
    let old = Options::new(Version::V4_4).args(&arguments).without_login().start_without_users();
    let uri = format!("mongodb://127.0.0.1:{}/circle_ghe?tls=true&tlsCAFile={}", old.port(), ca.display());
    node.holds(&uri);
    thread::sleep(expiry.saturating_duration_since(Instant::now()));
    node.breaks(&uri, Rung::Tls, "tls.expired", External, "Renew");
}

#[test]
fn client_certificates() {
    let authority = Authority::new();
    let certificate = authority.issue("mongo", &["IP:127.0.0.1"], 10);
    let client = authority.issue("circle", &["DNS:circle"], 10);
    let ca = authority.certificate();
    let arguments =
        ["--tlsMode", "requireTLS", "--tlsCAFile", ca.to_str().unwrap(), "--tlsCertificateKeyFile"];
    let options =
        format!("tls=true&tlsCAFile={}&tlsCertificateKeyFile={}", ca.display(), client.both.display());
    let mongo = Options::new(Version::V6_0)
        .args(&arguments)
        .args(&[certificate.both.to_str().unwrap()])
        .client_options(&options)
        .start();
    let node = Node::new("");
    node.holds(&mongo.uri("circle_ghe"));
    let without = mongo.uri("circle_ghe").split("&tlsCertificateKeyFile").next().unwrap().to_owned();
    let required = "tls.client_certificate_required";
    node.breaks(&without, Rung::Tls, required, Config, "tlsCertificateKeyFile");
    let no_tls = without.split("&tls=").next().unwrap();
    node.breaks(no_tls, Rung::Tls, "mongo.tls_required", Config, "ssl=true");

    let x509 =
        format!("mongodb://127.0.0.1:{}/circle_ghe?authMechanism=MONGODB-X509&{options}", mongo.port());
    node.breaks(&x509, Rung::Auth, "mongo.login_rejected", Config, "$external");
    let subject = "CN=circle,O=boot-agent circle";
    mongo.command(
        "$external",
        &[&format!(
            r#"{{"createUser": "{subject}", "roles": [{{"role": "readWrite", "db": "circle_ghe"}}]}}"#
        )],
    );
    let climb = node.holds(&x509);
    assert!(detail(&climb, Rung::Auth).contains(subject), "{climb:?}");
}

#[test]
fn the_network_and_a_hung_server() {
    let mongo = Options::new(Version::V6_0).start();
    let node = Node::new("127.0.0.2 elsewhere.internal\n");
    let uri = mongo.uri("circle_ghe");
    let at = |host: &str| uri.replace("@127.0.0.1:", &format!("@{host}:"));
    node.breaks(&at("no.such.host"), Rung::Dns, "dns.no_such_name", Config, "Correct the host name");
    Node::with_dead_dns().breaks(&at("db.internal"), Rung::Dns, "dns.timeout", External, "resolv.conf");
    node.breaks(&at("elsewhere.internal"), Rung::Tcp, "tcp.refused", External, "net.bindIp");
    mongo.signal(Signal::SIGSTOP);
    node.breaks(&uri, Rung::Tls, "mongo.silent", External, "not hung");
    mongo.signal(Signal::SIGCONT);
    node.holds(&uri);
}

#[test]
fn a_replica_set_and_its_members() {
    let mut set = Set::start(Version::V6_0, 3, false);
    let node = Node::new("");
    let climb = node.holds(&set.uri(&[0, 1, 2], "&replicaSet=rs0"));
    let role = detail(&climb, Rung::Role);
    assert!(role.contains("primary of rs0") && role.matches("secondary").count() == 2, "{role}");
    // One seed is enough, since the others are advertised.
    node.holds(&set.uri(&[1], "&replicaSet=rs0"));
    let mismatch = set.uri(&[0], "&replicaSet=other");
    node.breaks(&mismatch, Rung::Role, "mongo.set_name_mismatch", Config, "replicaSet=rs0");
    warns(&node.holds(&set.uri(&[0], "")), "mongo.single_seed");
    let secondary =
        node.breaks(&set.uri(&[1], ""), Rung::Role, "mongo.not_primary", Config, "replicaSet=rs0");
    assert!(secondary.evidence[0].value.contains(&set.members[0].port().to_string()), "{secondary:?}");

    // The name by which the set knows its primary counts, not the one in the URI.
    let port = set.members[0].port();
    let misnamed = misquoting(port, format!("127.0.0.1:{port}").into(), format!("mongo.lan:{port}").into());
    let uri = set.uri(&[0], "&replicaSet=rs0").replace(&format!(":{port}/"), &format!(":{misnamed}/"));
    let unresolvable = "mongo.member_unresolvable";
    let cause = node.breaks(&uri, Rung::Role, unresolvable, External, "rs.reconfig()");
    assert!(cause.sentence.contains(&format!("mongo.lan:{port}")), "{cause:?}");
    let elsewhere = Node::new("127.0.0.2 mongo.lan\n");
    elsewhere.breaks(&uri, Rung::Role, "mongo.member_unreachable", External, "its port open");
    Node::new("127.0.0.1 mongo.lan\n").holds(&uri);

    set.members[2].stop();
    let climb = node.holds(&set.uri(&[0, 1], "&replicaSet=rs0"));
    warns(&climb, "mongo.member_unreachable");
    set.members[0].stop();
    let alone = set.uri(&[0, 1, 2], "&replicaSet=rs0");
    until("the last member's stepping down", || node.climb(&alone).failure().is_some());
    let mut cause = None;
    until("the last member's giving up the old primary", || {
        let climb = node.climb(&alone);
        let found = climb.failure().map(|(rung, cause)| (rung, cause.clone()));
        let settled = found.as_ref().is_some_and(|(_, cause)| cause.kind == "mongo.no_primary");
        cause = found;
        settled
    });
    let (rung, cause) = cause.unwrap();
    assert_eq!((rung, cause.class), (Rung::Role, External), "{cause:?}");
    assert!(cause.next_step.contains("election"), "{cause:?}");
    assert!(cause.evidence.iter().any(|one| one.value.ends_with("secondary")), "{cause:?}");

    set.members[0].resume();
    set.members[2].resume();
    until("the set's recovery", || node.climb(&alone).is_good());
}

#[test]
fn a_primary_that_steps_down() {
    let set = Set::start(Version::V4_4, 3, false);
    let node = Node::new("");
    let uri = set.uri(&[0, 1, 2], "&replicaSet=rs0");
    node.holds(&uri);
    // Nobody may stand for election meanwhile.
    for member in &set.members[1..] {
        member.command("admin", &[r#"{"replSetFreeze": 20}"#]);
    }
    let step_down = r#"{"replSetStepDown": 20, "secondaryCatchUpPeriodSecs": 0, "force": true}"#;
    let _ = Mongo::try_command(&set.members[0].root_uri(), "admin", &[step_down]);
    node.breaks(&uri, Rung::Role, "mongo.no_primary", External, "Wait for the election");
    until("the next election", || node.climb(&uri).is_good());
}

#[test]
fn arbiters_and_sets_that_are_none() {
    let set = Set::start(Version::V4_4, 3, true);
    let node = Node::new("");
    let arbiter = set.uri(&[2], "");
    node.breaks(&arbiter, Rung::Role, "mongo.arbiter_only", Config, "members that hold data");
    let direct = format!("{arbiter}&directConnection=true");
    node.breaks(&direct, Rung::Auth, "mongo.arbiter_only", Config, "members that hold data");
    // With the set's name the arbiter is as good a seed as any.
    node.holds(&set.uri(&[2], "&replicaSet=rs0"));

    let alone = Options::new(Version::V6_0).start();
    let uri = format!("{}&replicaSet=rs0", alone.uri("circle_ghe"));
    node.breaks(&uri, Rung::Role, "mongo.not_a_replica_set", Config, "Remove replicaSet");
    let arguments = ["--replSet", "rs0"];
    let fresh = Options::new(Version::V6_0).without_login().args(&arguments).start_without_users();
    let uri = format!("mongodb://127.0.0.1:{}/circle_ghe?replicaSet=rs0", fresh.port());
    let climb = node.climb(&uri);
    let (_, cause) = climb.failure().unwrap();
    assert_eq!(cause.kind, "mongo.not_initiated", "{climb:#?}");
}
