//! PostgreSQL, one thing broken at a time, and the cause that `agent probe --uri` gives.

use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use boot_agent::cause::Class::{Config, External};
use boot_agent::database::ladder::{CLIMB_LIMIT, Rung};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::diagnosis::{BlackHole, Node, PASSWORD, WRONG, odd_password, shows, silent_nameserver};
use super::harness::certificates::{Authority, Certificate};
use super::harness::mongo::{Options, Version};
use super::harness::postgres::Postgres;

/// Lets nobody in but the harness.
const HBA: &str = "local all postgres trust\n";

/// A server on which `circle` and `odd` have the passwords of the table.
pub(crate) fn server(certificate: Option<&Certificate>) -> Postgres {
    let mut postgres = Postgres::start();
    if let Some(certificate) = certificate {
        postgres.use_certificate(certificate);
    }
    postgres.sql("postgres", &format!("alter role circle password '{PASSWORD}'"));
    postgres.sql("postgres", &format!("create role odd login in role circle password '{}'", odd_password()));
    postgres
}

/// Where `circle` finds it.
pub(crate) fn uri(postgres: &Postgres) -> String {
    at(&format!("127.0.0.1:{}", postgres.port()))
}

pub(crate) fn at(host: &str) -> String {
    format!("postgres://circle:{PASSWORD}@{host}/circle")
}

/// Replaces what `pg_hba.conf` says of the network.
pub(crate) fn allow(postgres: &Postgres, lines: &str) {
    postgres.write_hba(&format!("{HBA}{lines}\n"));
    postgres.reload();
}

#[test]
fn healthy() {
    let authority = Authority::new();
    let certificate = authority.issue("server", &["IP:127.0.0.1", "DNS:db.internal"], 10);
    let (postgres, plain) = (server(Some(&certificate)), server(None));
    let node = Node::new("127.0.0.1 db.internal\n");
    let uri = uri(&postgres);
    let found = node.holds(&uri);
    assert!(found.detail(Rung::Tls).starts_with("TLSv1.3"), "{found:?}");
    assert!(found.detail(Rung::Role).contains("PostgreSQL 15"), "{found:?}");
    assert!(found.detail(Rung::Tcp).starts_with(&format!("127.0.0.1:{}", postgres.port())), "{found:?}");
    assert_eq!(found.warnings(), [], "{found:?}");

    for mode in ["disable", "allow"] {
        let found = node.holds(&format!("{uri}?sslmode={mode}"));
        assert!(found.detail(Rung::Tls).starts_with("no TLS"), "{found:?}");
    }
    for mode in ["prefer", "require", "verify-ca", "verify-full"] {
        let root = authority.certificate();
        let found = node.holds(&format!("{uri}?sslmode={mode}&sslrootcert={}", root.display()));
        assert!(found.detail(Rung::Tls).starts_with("TLSv1.3"), "{found:?}");
        assert_eq!(found.detail(Rung::Tls).contains("with this name"), mode == "verify-full", "{found:?}");
        node.holds(&found_at(&uri, "db.internal", &format!("sslmode={mode}&sslrootcert={}", root.display())));
    }
    for option in [
        "channel_binding=require",
        "ssl_max_protocol_version=TLSv1.2&sslmode=require",
        "connect_timeout=3",
        "options=-c%20statement_timeout%3D5s",
        "target_session_attrs=any",
        "target_session_attrs=read-write",
        "target_session_attrs=primary",
        "target_session_attrs=prefer-standby",
        "hostaddr=127.0.0.1",
    ] {
        node.holds(&format!("{uri}?{option}"));
    }
    let no_tls = crate::diagnosis_postgres::uri(&plain);
    for mode in ["disable", "allow", "prefer"] {
        node.holds(&format!("{no_tls}?sslmode={mode}"));
    }

    node.link("/socket", postgres.socket_directory().as_path());
    allow(&postgres, "local all all scram-sha-256");
    let found = node.holds(&at(&format!("%2Fsocket:{}", postgres.port())));
    assert_eq!(found.detail(Rung::Tls), "no TLS, on a Unix socket");
    allow(&postgres, "host all all 127.0.0.1/32 md5");
    postgres
        .sql("postgres", &format!("set password_encryption = md5; alter role circle password '{PASSWORD}'"));
    node.holds(&uri);
}

/// The same server under another name.
fn found_at(uri: &str, host: &str, options: &str) -> String {
    format!("{}?{options}", uri.replace("@127.0.0.1:", &format!("@{host}:")))
}

#[test]
fn names_and_the_network() {
    let postgres = server(None);
    let (node, port) = (Node::new("127.0.0.2 elsewhere.internal\n"), postgres.port());
    node.breaks(&at("no.such.host"), Rung::Dns, "dns.no_such_name", Config, "Correct the host name");
    for resolver in ["nameserver 127.0.0.78\n", silent_nameserver()] {
        let node = Node::asking(resolver, "");
        let found = node.diagnose(&at("db.internal"));
        found.breaks(Rung::Dns, "dns.timeout", External, "resolv.conf");
        assert!(found.took() < CLIMB_LIMIT, "{found:?}");
    }
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    node.breaks(&at(&closed.to_string()), Rung::Tcp, "tcp.refused", External, "Start PostgreSQL there");
    // The server listens on 127.0.0.1 alone, as one that is bound to localhost does.
    let elsewhere = at(&format!("elsewhere.internal:{port}"));
    let cause = node.breaks(&elsewhere, Rung::Tcp, "tcp.refused", External, "not only on localhost");
    shows(&cause, "address", &format!("127.0.0.2:{port}"));

    let hole = BlackHole::open();
    let found = node.diagnose(&at(&hole.address()));
    let cause = found.breaks(Rung::Tcp, "tcp.timeout", External, "security group");
    shows(&cause, "address", &hole.address());
    assert!(found.took() < CLIMB_LIMIT, "{found:?}");
    // No router forwards what is meant for everybody.
    let unreachable = at("255.255.255.255");
    node.breaks(&unreachable, Rung::Tcp, "tcp.unreachable", External, "route table");
    let several = at(&format!("no.such.host,127.0.0.2:{port},127.0.0.1:{port}"));
    let found = node.holds(&several);
    found.warns("dns.no_such_name");
    found.warns("tcp.refused");
    node.link("/socket", postgres.socket_directory().as_path());
    let socket = at("%2Fsocket:1");
    node.breaks(&socket, Rung::Tcp, "tcp.refused", External, "Start PostgreSQL on this machine");
}

#[test]
fn a_server_that_is_hung_and_one_that_is_another() {
    let postgres = server(None);
    let node = Node::new("");
    // The kernel still accepts for a process that stands still.
    let pid = fs::read_to_string(postgres.data().join("postmaster.pid")).unwrap();
    let pid = Pid::from_raw(pid.lines().next().unwrap().parse().unwrap());
    kill(pid, Signal::SIGSTOP).unwrap();
    node.breaks(&uri(&postgres), Rung::Tls, "postgres.silent", External, "not hung");
    let plain = format!("{}?sslmode=disable", uri(&postgres));
    node.breaks(&plain, Rung::Auth, "postgres.silent", External, "not hung");
    kill(pid, Signal::SIGCONT).unwrap();
    node.holds(&uri(&postgres));

    let mongo = Options::new(Version::V6_0).without_login().start();
    let other = at(&format!("127.0.0.1:{}", mongo.port()));
    for (uri, rung) in [(other.clone(), Rung::Tls), (format!("{other}?sslmode=disable"), Rung::Auth)] {
        let cause = node.breaks(&uri, rung, "postgres.not_postgres", Config, "host and port");
        assert!(cause.sentence.contains("MongoDB"), "{cause:?}");
    }
}

#[test]
fn logins_that_the_server_refuses() {
    let authority = Authority::new();
    let postgres = server(Some(&authority.issue("server", &["IP:127.0.0.1"], 10)));
    let node = Node::new("");
    let uri = uri(&postgres);
    let login = |name: &str| uri.replace(&format!("circle:{PASSWORD}"), name);
    let rejected = "postgres.password_rejected";
    let wrong = login(&format!("circle:{WRONG}"));
    let cause = node.breaks(&wrong, Rung::Auth, rejected, Config, "ALTER ROLE");
    shows(&cause, "SQLSTATE", "28P01");
    let as_option = |password: &str| {
        format!("postgres://127.0.0.1:{}/circle?user=circle&password={password}", postgres.port())
    };
    node.holds(&as_option(PASSWORD));
    node.breaks(&as_option(WRONG), Rung::Auth, rejected, Config, "Correct user");
    let nobody = login(&format!("nobody:{WRONG}"));
    node.breaks(&nobody, Rung::Auth, rejected, Config, "Correct user");
    node.breaks(&login("circle"), Rung::Auth, "postgres.no_password", Config, "PASSWORD");
    for (role, rights) in [("idle", "nologin"), ("few", "login connection limit 0"), ("guest", "login")] {
        postgres.sql("postgres", &format!("create role {role} {rights} password '{PASSWORD}'"));
    }
    let of = |role: &str| login(&format!("{role}:{PASSWORD}"));
    node.breaks(&of("idle"), Rung::Auth, "postgres.no_role", Config, "LOGIN");
    let full = "postgres.too_many_connections";
    node.breaks(&of("few"), Rung::Auth, full, External, "max_connections");
    let cause = node.breaks(
        &uri.replace(
            &format!("{}/circle", postgres.port()),
            &format!("{}/no_such_database", postgres.port()),
        ),
        Rung::Database,
        "postgres.no_database",
        Config,
        "Create or restore the database",
    );
    assert!(cause.sentence.contains("no_such_database"), "{cause:?}");
    shows(&cause, "SQLSTATE", "3D000");

    let denied = "postgres.no_privilege";
    node.breaks(&of("guest"), Rung::Database, denied, Config, "GRANT USAGE, CREATE ON SCHEMA public");
    postgres
        .sql("circle", "grant all on schema public to guest; create table plans (); create table builds ()");
    let cause = node.breaks(&of("guest"), Rung::Database, denied, Config, "TABLES");
    shows(&cause, "tables", "public.builds, public.plans");
    postgres.sql("circle", "drop table plans, builds");
    node.holds(&of("guest"));
    postgres.sql("postgres", "revoke connect on database circle from public");
    let cause = node.breaks(&of("guest"), Rung::Database, denied, Config, "GRANT");
    shows(&cause, "SQLSTATE", "42501");
}

/// The app names no schema: its tables go where the user's search path leads.
#[test]
fn where_tables_would_be_created() {
    let postgres = server(None);
    let node = Node::new("");
    for role in ["owner", "lost"] {
        postgres.sql("postgres", &format!("create role {role} login password '{PASSWORD}'"));
    }
    let of = |role: &str, database: &str| {
        format!("postgres://{role}:{PASSWORD}@127.0.0.1:{}/{database}", postgres.port())
    };
    // A schema of the user's own name comes first, and public is of no account.
    let denied = "postgres.no_privilege";
    let cause = node.breaks(&of("owner", "circle"), Rung::Database, denied, Config, "SCHEMA public");
    shows(&cause, "missing", "CREATE on schema public");
    postgres.sql("circle", "create schema owner authorization owner");
    let found = node.holds(&of("owner", "circle"));
    assert!(found.detail(Rung::Database).ends_with("in owner"), "{found:?}");
    // One that may be used and not written to.
    postgres.sql("circle", "create schema lost; grant usage on schema lost to lost");
    node.breaks(&of("lost", "circle"), Rung::Database, denied, Config, "SCHEMA lost");
    postgres.sql("postgres", "alter role lost set search_path = nowhere");
    let nowhere = "postgres.no_schema";
    let cause = node.breaks(&of("lost", "circle"), Rung::Database, nowhere, Config, "search_path");
    shows(&cause, "search_path", "nowhere");
    postgres.sql("postgres", "alter role lost reset search_path");
    postgres.sql("circle", "drop schema lost; revoke all on schema public from public");
    let cause = node.breaks(&of("lost", "circle"), Rung::Database, denied, Config, "USAGE");
    assert!(cause.sentence.contains("has no USAGE privilege on the schema public"), "{cause:?}");
    postgres.sql("circle", "drop schema public");
    node.breaks(&of("lost", "circle"), Rung::Database, nowhere, Config, "CREATE SCHEMA public");

    // Functions and operators of the user's own that say the contrary are not asked.
    postgres.sql(
        "circle",
        "create schema lies authorization lost; \
         create function lies.pg_is_in_recovery() returns boolean language sql as 'select true'; \
         create function lies.has_table_privilege(oid, text) returns boolean language sql as 'select false'; \
         create function lies.current_setting(text) returns text language sql as 'select ''on''::text'; \
         create function lies.wrong(oid, oid) returns boolean language sql as 'select false'; \
         create operator lies.= (leftarg = oid, rightarg = oid, function = lies.wrong); \
         create table lies.pg_class (relname text); grant all on all tables in schema lies to lost",
    );
    postgres.sql("postgres", "alter role lost set search_path = lies, pg_catalog");
    let found = node.holds(&of("lost", "circle"));
    assert!(found.detail(Rung::Role).contains("PostgreSQL 15"), "{found:?}");
}

#[test]
fn extensions_that_the_app_needs() {
    let postgres = server(None);
    let node = Node::new("");
    postgres.sql("postgres", &format!("create role guest login password '{PASSWORD}'"));
    postgres.sql("circle", "grant all on schema public to guest");
    let guest = format!("postgres://guest:{PASSWORD}@127.0.0.1:{}/circle", postgres.port());
    let found = node.holds(&guest);
    let cause = found.warns("postgres.extension_missing");
    assert!(cause.next_step.contains("CREATE EXTENSION"), "{cause:?}");
    postgres.sql("circle", "create extension pgcrypto; create extension \"uuid-ossp\"");
    assert_eq!(node.holds(&guest).warnings(), []);
}

#[test]
fn servers_that_take_no_writes() {
    let mut postgres = server(None);
    let node = Node::new("");
    let uri = uri(&postgres);
    for role in ["circle", "odd"] {
        postgres.sql("postgres", &format!("alter role {role} set default_transaction_read_only = on"));
    }
    node.breaks(&uri, Rung::Role, "postgres.read_only", External, "default_transaction_read_only");
    for role in ["circle", "odd"] {
        postgres.sql("postgres", &format!("alter role {role} reset default_transaction_read_only"));
    }
    for wish in ["standby", "read-only"] {
        let uri = format!("{uri}?target_session_attrs={wish}");
        node.breaks(&uri, Rung::Role, "postgres.target", Config, "target_session_attrs");
    }

    postgres.stop();
    let refused = node.breaks(&uri, Rung::Tcp, "tcp.refused", External, "Start PostgreSQL");
    assert!(refused.sentence.contains("nothing is listening"), "{refused:?}");
    fs::write(postgres.data().join("standby.signal"), "").unwrap();
    postgres.resume();
    let cause = node.breaks(&uri, Rung::Role, "postgres.standby", External, "reader endpoint");
    shows(&cause, "pg_is_in_recovery", "true");
    let cause = format!("{uri}?target_session_attrs=standby");
    node.breaks(&cause, Rung::Role, "postgres.standby", Config, "target_session_attrs");
    let other = server(None);
    let both = at(&format!("127.0.0.1:{},127.0.0.1:{}", postgres.port(), other.port()));
    for wish in ["read-write", "primary"] {
        let found = node.holds(&format!("{both}?target_session_attrs={wish}"));
        assert_eq!(found.warnings(), [], "{found:?}");
    }
    node.breaks(&both, Rung::Role, "postgres.standby", External, "primary");

    postgres.stop();
    postgres.set("hot_standby = off");
    postgres.resume_unready();
    let cause = node.breaks(&uri, Rung::Auth, "postgres.starting_up", External, "Wait");
    shows(&cause, "SQLSTATE", "57P03");
    node.holds(&both);
}

#[test]
fn every_connection_is_taken() {
    let mut postgres = server(None);
    postgres.set("max_connections = 5\nsuperuser_reserved_connections = 4\nmax_wal_senders = 0");
    postgres.stop();
    postgres.resume();
    let busy = "select count(*) from pg_stat_activity where query like 'select pg_sleep%'";
    let mut holder = hold(&postgres);
    let started = Instant::now();
    while postgres.sql("postgres", busy) != "1" {
        assert!(started.elapsed() < Duration::from_secs(90), "the one connection cannot be had");
        // The harness's own question may have been in the way.
        if holder.try_wait().unwrap().is_some() {
            holder = hold(&postgres);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let node = Node::new("");
    let full = "postgres.too_many_connections";
    let cause = node.breaks(&uri(&postgres), Rung::Auth, full, External, "max_connections");
    shows(&cause, "SQLSTATE", "53300");
    holder.kill().unwrap();
    holder.wait().unwrap();
}

/// A client that keeps one connection.
fn hold(postgres: &Postgres) -> Child {
    let mut psql = Command::new("psql");
    psql.args([uri(postgres).as_str(), "--command", "select pg_sleep(600)"]);
    psql.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}
