//! MongoDB on its own, one thing broken at a time, and the cause that `agent probe --uri` gives.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use boot_agent::cause::Class::{Config, External};
use boot_agent::database::ladder::{CLIMB_LIMIT, Rung};
use boot_agent::database::uri::Product;
use nix::sys::signal::Signal;

use super::diagnosis::{
    BlackHole, Node, PASSWORD, WRONG, keeps_its_secrets, odd_password, publish, shows, silent_nameserver,
};
use super::diagnosis_postgres;
use super::harness::agent::Agent;
use super::harness::mongo::{DATABASES, Mongo, Options, Version};
use super::scene::customizations;

/// Makes `odd`, and gives `circle` the password of the table.
pub(crate) fn users(mongo: &Mongo) {
    let odd = serde_json::to_string(&odd_password()).unwrap();
    let roles = Mongo::roles();
    mongo.command(
        "admin",
        &[
            &format!(r#"{{"updateUser": "circle", "pwd": "{PASSWORD}"}}"#),
            &format!(r#"{{"createUser": "odd", "pwd": {odd}, "roles": {roles}}}"#),
        ],
    );
}

/// A server on its own on which `circle` and `odd` have the passwords of the table.
pub(crate) fn server(options: Options) -> Mongo {
    let mongo = options.start();
    users(&mongo);
    mongo
}

/// Where `circle` finds `database`.
pub(crate) fn uri(mongo: &Mongo, database: &str) -> String {
    let more = match mongo.client_options() {
        "" => String::new(),
        options => format!("&{options}"),
    };
    format!("mongodb://circle:{PASSWORD}@127.0.0.1:{}/{database}?authSource=admin{more}", mongo.port())
}

/// `maxWireVersion` as it stands in BSON.
fn wire_version(number: i32) -> Vec<u8> {
    [b"maxWireVersion\0".as_slice(), &number.to_le_bytes()].concat()
}

/// A port that leads to `to`, where everything that the server says is said with `said` replaced by `instead` of the
/// same length: the one way to make a real server speak of names and versions that are not its own.
pub(crate) fn misquoting(to: u16, said: Vec<u8>, instead: Vec<u8>) -> u16 {
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

#[test]
fn healthy_in_both_protocols_and_both_mechanisms() {
    let node = Node::new("");
    for (version, number) in [(Version::V6_0, "6.0.5"), (Version::V4_4, "4.4.2")] {
        let mongo = server(Options::new(version));
        for database in DATABASES {
            let found = node.holds(&uri(&mongo, database));
            assert!(found.detail(Rung::Database).contains(database), "{found:?}");
            assert!(found.detail(Rung::Role).contains(number), "{found:?}");
            assert_eq!(found.detail(Rung::Tls), "no TLS, per the URI");
            assert!(found.warns("mongo.version").sentence.contains(number), "{found:?}");
        }
        let uri = uri(&mongo, "circle_ghe");
        for mechanism in ["SCRAM-SHA-1", "SCRAM-SHA-256"] {
            let found = node.holds(&format!("{uri}&authMechanism={mechanism}"));
            assert!(found.detail(Rung::Auth).ends_with(mechanism), "{found:?}");
        }
        // The better one is taken where the URI leaves the choice.
        assert!(node.holds(&uri).detail(Rung::Auth).ends_with("SCRAM-SHA-256"));
        let open = Options::new(version).without_login().start();
        node.holds(&format!("mongodb://127.0.0.1:{}/circle_ghe", open.port()));
    }
}

#[test]
fn versions_out_of_what_circleci_documents_are_a_warning() {
    let node = Node::new("");
    let mongo = server(Options::new(Version::V4_4));
    let other = |from: i32, to: i32| {
        let port = misquoting(mongo.port(), wire_version(from), wire_version(to));
        uri(&mongo, "circle_ghe").replace(&mongo.port().to_string(), &port.to_string())
    };
    // 4.4 takes every command by OP_QUERY, as 3.2 does; it only has to say that it is one.
    for documented in [4, 5] {
        assert_eq!(node.holds(&other(9, documented)).warnings(), []);
    }
    let old = node.holds(&other(9, 3)).warns("mongo.version");
    assert!(old.sentence.contains("older than 3.2"), "{old:?}");
    let new = node.holds(&uri(&mongo, "circle_ghe")).warns("mongo.version");
    assert!(new.sentence.contains("newer than 3.6"), "{new:?}");

    let postgres = diagnosis_postgres::server(None);
    let uri = diagnosis_postgres::uri(&postgres);
    let number = postgres.sql("postgres", "show server_version_num");
    let mut old = number.clone();
    old.replace_range(..3, "090");
    let port = misquoting(postgres.port(), number.into(), old.into());
    assert_eq!(node.holds(&uri).warnings(), []);
    let uri = uri.replace(&postgres.port().to_string(), &port.to_string());
    node.holds(&uri).warns("postgres.version");
}

#[test]
fn seeds_out_of_dns() {
    let mongo = server(Options::new(Version::V6_0));
    publish("cluster.test.internal", "db1.test.internal", mongo.port(), "authSource=admin");
    let node = Node::new("");
    let login = format!("mongodb+srv://circle:{PASSWORD}@");
    let found = node.holds(&format!("{login}cluster.test.internal/circle_ghe?tls=false"));
    assert_eq!(found.detail(Rung::Dns), "db1.test.internal is 127.0.0.1");
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
    let dead = Node::asking(silent_nameserver(), "");
    dead.breaks(&missing, Rung::Dns, "dns.timeout", External, "resolv.conf");
}

#[test]
fn logins_that_the_server_refuses() {
    let node = Node::new("");
    for version in [Version::V6_0, Version::V4_4] {
        let mongo = server(Options::new(version));
        let uri = uri(&mongo, "circle_ghe");
        let rejected = "mongo.login_rejected";
        let mistyped = uri.replace(PASSWORD, WRONG);
        let cause = node.breaks(&mistyped, Rung::Auth, rejected, Config, "Correct user");
        shows(&cause, "code", "18");
        node.breaks(&uri.replace("circle:", "stranger:"), Rung::Auth, rejected, Config, "authSource");
        let wrong = "mongo.wrong_auth_source";
        let unsaid = uri.replace("?authSource=admin", "");
        node.breaks(&unsaid, Rung::Auth, wrong, Config, "authSource=admin");
        node.breaks(&uri.replace("=admin", "=circle_ghe"), Rung::Auth, wrong, Config, "authSource=admin");
        let both_wrong = unsaid.replace(PASSWORD, WRONG);
        node.breaks(&both_wrong, Rung::Auth, rejected, Config, "add authSource=admin");
        let login = format!("circle:{PASSWORD}@");
        let nobody = uri.replace(&login, "").replace("?authSource=admin", "");
        node.breaks(&nobody, Rung::Auth, "mongo.login_required", Config, "USER:PASSWORD");

        mongo.command(
            "admin",
            &[
                &format!(r#"{{"createUser": "new", "pwd": "{PASSWORD}", "roles": [], "mechanisms": ["SCRAM-SHA-256"]}}"#),
                &format!(r#"{{"createUser": "reader", "pwd": "{PASSWORD}", "roles": [{{"role": "read", "db": "circle_ghe"}}]}}"#),
            ],
        );
        let new = uri.replace("circle:", "new:");
        node.breaks(&new, Rung::Database, "mongo.no_role", Config, "grantRolesToUser");
        let old = format!("{new}&authMechanism=SCRAM-SHA-1");
        node.breaks(&old, Rung::Auth, "mongo.mechanism", Config, "Remove authMechanism");
        let plain = format!("{uri}&authMechanism=PLAIN");
        node.breaks(&plain, Rung::Auth, "mongo.mechanism_unsupported", Config, "SCRAM");
        let token =
            format!("{uri}&authMechanism=MONGODB-AWS&authMechanismProperties=AWS_SESSION_TOKEN:{WRONG}");
        node.breaks(
            &token.replace("?authSource=admin&", "?"),
            Rung::Auth,
            "mongo.mechanism_unsupported",
            Config,
            "SCRAM",
        );
        let reader = uri.replace("circle:", "reader:");
        let cause = node.breaks(&reader, Rung::Database, "mongo.no_role", Config, "readWrite");
        assert!(cause.sentence.contains("is not allowed to write"), "{cause:?}");
        // All databases but one.
        let other = crate::diagnosis_mongo::uri(&mongo, "conductor");
        node.breaks(&other, Rung::Database, "mongo.no_role", Config, "\"conductor\"");
    }
}

#[test]
fn the_network_and_a_server_that_is_hung_or_another() {
    let mongo = server(Options::new(Version::V6_0));
    let node = Node::new("127.0.0.2 elsewhere.internal\n");
    let uri = uri(&mongo, "circle_ghe");
    let at = |host: &str| uri.replace("@127.0.0.1:", &format!("@{host}:"));
    node.breaks(&at("no.such.host"), Rung::Dns, "dns.no_such_name", Config, "Correct the host name");
    for resolver in ["nameserver 127.0.0.78\n", silent_nameserver()] {
        let found = Node::asking(resolver, "").diagnose(&at("db.internal"));
        found.breaks(Rung::Dns, "dns.timeout", External, "resolv.conf");
        assert!(found.took() < CLIMB_LIMIT, "{found:?}");
    }
    node.breaks(&at("elsewhere.internal"), Rung::Tcp, "tcp.refused", External, "net.bindIp");
    node.breaks(&at("255.255.255.255"), Rung::Tcp, "tcp.unreachable", External, "route table");
    let hole = BlackHole::open();
    let found = node.diagnose(&uri.replace(&format!("127.0.0.1:{}", mongo.port()), &hole.address()));
    found.breaks(Rung::Tcp, "tcp.timeout", External, "security group");
    assert!(found.took() < CLIMB_LIMIT, "{found:?}");
    // Drivers drop a standalone server from a list of several, whether or not the others answer.
    let both = uri.replace("@127.0.0.1:", &format!("@{},127.0.0.1:", hole.address()));
    let found = node.diagnose(&both);
    found.breaks(Rung::Role, "mongo.not_a_replica_set", Config, "only this server");
    found.warns("tcp.timeout");
    mongo.signal(Signal::SIGSTOP);
    node.breaks(&uri, Rung::Tls, "mongo.silent", External, "not hung");
    mongo.signal(Signal::SIGCONT);
    node.holds(&uri);

    let postgres = diagnosis_postgres::server(None);
    let other = uri.replace(&mongo.port().to_string(), &postgres.port().to_string());
    let cause = node.breaks(&other, Rung::Tls, "mongo.not_mongodb", Config, "Correct host and port");
    assert!(cause.sentence.contains("a PostgreSQL server"), "{cause:?}");
    let other = format!("{other}&ssl=true&tlsInsecure=true");
    node.breaks(&other, Rung::Tls, "mongo.not_mongodb", Config, "Correct host and port");
}

/// The URIs of a whole bundle, of which one leads to a database that the user has no role on.
#[test]
fn a_bundle_is_asked_about_in_one_login() {
    let mongo = server(Options::new(Version::V6_0));
    let count = || -> usize {
        let status = mongo.command("admin", &[r#"{"serverStatus": 1}"#]);
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        let text =
            status["security"]["authentication"]["mechanisms"]["SCRAM-SHA-256"]["authenticate"]["successful"]
                .to_string();
        text.chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap()
    };
    let node = Node::new("");
    let postgres = format!("postgres://circle:{WRONG}@127.0.0.1:1/circle");
    let bundle = customizations(|database| uri(&mongo, database), &postgres)
        .replace("/containers_dev_ghe", "/conductor");
    node.world().write("/etc/circle-installation-customizations", bundle);
    let before = count();
    let agent = Agent::new(node.world());
    let printed = agent
        .args(["probe", "--output", "json", "--only", "mongodb", "--only", "postgres"])
        .run(CLIMB_LIMIT * 4);
    // The harness logs in for its second look.
    assert_eq!(count() - before, 2, "{printed}");
    keeps_its_secrets(&printed);
    printed.assert_code(1);
    let report: serde_json::Value = serde_json::from_str(&printed.stdout).unwrap();
    let outcome = |id: &str| {
        let checks = report["checks"].as_array().unwrap();
        let check = checks.iter().find(|check| check["id"] == id);
        check.unwrap_or_else(|| panic!("no {id}: {printed}"))["outcome"].as_str().unwrap().to_owned()
    };
    for name in ["main", "action_logs", "build_state", "remote_containers"] {
        for rung in Product::Mongo.rungs() {
            assert_eq!(outcome(&format!("mongodb.{name}.{rung}")), "good", "{name} {rung}: {printed}");
        }
    }
    assert_eq!(outcome("mongodb.containers.auth"), "good", "{printed}");
    assert_eq!(outcome("mongodb.containers.database"), "failed", "{printed}");
    assert_eq!(outcome("mongodb.containers.role"), "skipped", "{printed}");
    assert_eq!(outcome("postgres.main.tcp"), "failed", "{printed}");
    let roots = report["root_causes"].as_array().unwrap();
    let kinds: Vec<&str> = roots.iter().map(|root| root["cause"]["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["tcp.refused", "mongo.no_role", "mongo.version"], "{printed}");
}
