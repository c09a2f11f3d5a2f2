//! PostgreSQL, one thing broken at a time, and the cause that the ladder gives.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use boot_agent::cause::Class::{Config, External};
use boot_agent::database::ladder::Rung;
use nix::sys::signal::Signal;

use super::diagnosis::{Node, detail, warns};
use super::harness::certificates::Authority;
use super::harness::postgres::Postgres;

const HBA: &str = "local all postgres trust\n";

#[test]
fn healthy_with_and_without_tls() {
    let authority = Authority::new();
    let certificate = authority.issue("server", &["IP:127.0.0.1", "DNS:db.internal"], 10);
    let postgres = Postgres::with_tls(&certificate);
    let node = Node::new("127.0.0.1 db.internal\n");
    let uri = postgres.uri();
    let climb = node.holds(&uri);
    assert!(detail(&climb, Rung::Tls).starts_with("TLSv1.3"), "{climb:?}");
    assert!(detail(&climb, Rung::Role).contains("PostgreSQL 15"), "{climb:?}");
    node.holds(&format!("{uri}?sslmode=disable"));
    node.holds(&format!("{uri}?sslmode=allow"));
    node.holds(&format!("{uri}?channel_binding=require"));
    node.holds(&format!("{uri}?ssl_max_protocol_version=TLSv1.2&sslmode=require"));
    let ca = authority.certificate();
    let verified = format!("{uri}?sslmode=verify-full&sslrootcert={}", ca.display());
    assert!(detail(&node.holds(&verified), Rung::Tls).contains("with this name"));
    node.holds(&verified.replace("@127.0.0.1:", "@db.internal:"));
    let socket = postgres.socket_directory().display().to_string().replace('/', "%2F");
    let climb = node.holds(&format!("postgres://postgres@{socket}:{}/postgres", postgres.port()));
    assert_eq!(detail(&climb, Rung::Tls), "no TLS, on a Unix socket");
    postgres.sql("postgres", "set password_encryption = md5; create role old login password 'md5-password'");
    postgres.write_hba(&format!("{HBA}host all all 127.0.0.1/32 md5\n"));
    postgres.reload();
    postgres.sql("postgres", "grant all on database circle to old");
    postgres.sql("circle", "grant all on schema public to old");
    node.holds(&uri.replace("circle:circle-password", "old:md5-password"));
}

#[test]
fn names_and_the_network() {
    let postgres = Postgres::start();
    let (node, port) = (Node::new("127.0.0.2 elsewhere.internal\n"), postgres.port());
    let at = |host: &str| format!("postgres://circle:circle-password@{host}/circle");
    node.breaks(&at("no.such.host"), Rung::Dns, "dns.no_such_name", Config, "Correct the host name");
    Node::with_dead_dns().breaks(&at("db.internal"), Rung::Dns, "dns.timeout", External, "resolv.conf");
    // The server listens on 127.0.0.1 alone, as one that is bound to localhost does.
    let elsewhere = at(&format!("elsewhere.internal:{port}"));
    node.breaks(&elsewhere, Rung::Tcp, "tcp.refused", External, "not on localhost alone");
    let several = at(&format!("no.such.host,127.0.0.2:{port},127.0.0.1:{port}"));
    let climb = node.holds(&several);
    warns(&climb, "dns.no_such_name");
    warns(&climb, "tcp.refused");
    postgres_is_hung(&node, &postgres);
}

fn postgres_is_hung(node: &Node, postgres: &Postgres) {
    // The kernel still accepts for a process that stands still.
    let pid = fs::read_to_string(postgres.data().join("postmaster.pid")).unwrap();
    let pid = nix::unistd::Pid::from_raw(pid.lines().next().unwrap().parse().unwrap());
    nix::sys::signal::kill(pid, Signal::SIGSTOP).unwrap();
    node.breaks(&postgres.uri(), Rung::Tls, "postgres.silent", External, "not hung");
    node.breaks(
        &format!("{}?sslmode=disable", postgres.uri()),
        Rung::Auth,
        "postgres.silent",
        External,
        "not hung",
    );
    nix::sys::signal::kill(pid, Signal::SIGCONT).unwrap();
}

#[test]
fn tls_and_certificates() {
    let authority = Authority::new();
    let mut postgres = Postgres::start();
    let node = Node::new("127.0.0.1 db.internal\n");
    let uri = postgres.uri();
    node.breaks(&format!("{uri}?sslmode=require"), Rung::Tls, "tls.refused", Config, "ssl = on");

    postgres.use_certificate(&authority.issue("server", &["IP:127.0.0.1"], 10));
    let verified = |mode: &str, ca: &Authority| {
        format!("{uri}?sslmode={mode}&sslrootcert={}", ca.certificate().display())
    };
    let stranger = Authority::new();
    let cause =
        node.breaks(&verified("verify-ca", &stranger), Rung::Tls, "tls.unknown_ca", Config, "sslrootcert");
    assert!(
        cause.evidence.iter().any(|one| one.name == "issuer" && one.value.contains("test authority")),
        "{cause:?}"
    );
    // With a root certificate named, libpq verifies it for sslmode=require as well.
    node.breaks(&verified("require", &stranger), Rung::Tls, "tls.unknown_ca", Config, "sslrootcert");
    let by_name = verified("verify-full", &authority).replace("@127.0.0.1:", "@db.internal:");
    node.breaks(&by_name, Rung::Tls, "tls.wrong_name", Config, "a name that the certificate carries");
    node.holds(&by_name.replace("verify-full", "verify-ca"));
    node.breaks(&format!("{uri}?sslmode=verify-full"), Rung::Tls, "tls.ca_file", Config, "sslrootcert");
    let missing = format!("{uri}?sslmode=verify-ca&sslrootcert=/no/such/file");
    node.breaks(&missing, Rung::Tls, "tls.ca_file", Config, "sslrootcert");

    postgres.use_certificate(&authority.issue("expired", &["IP:127.0.0.1"], 0));
    std::thread::sleep(std::time::Duration::from_secs(1));
    node.breaks(&verified("verify-full", &authority), Rung::Tls, "tls.expired", External, "Renew");
    // Nobody looks at the dates without a root certificate.
    node.holds(&format!("{uri}?sslmode=require"));
}

#[test]
fn client_certificates() {
    let authority = Authority::new();
    let postgres = Postgres::with_tls(&authority.issue("server", &["IP:127.0.0.1"], 10));
    fs::copy(authority.certificate(), postgres.data().join("ca.pem")).unwrap();
    fs::set_permissions(postgres.data().join("ca.pem"), fs::Permissions::from_mode(0o644)).unwrap();
    postgres.set("ssl_ca_file = 'ca.pem'");
    postgres.write_hba(&format!("{HBA}hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca\n"));
    postgres.reload();
    let node = Node::new("");
    let uri = format!("{}?sslmode=require", postgres.uri());
    node.breaks(&uri, Rung::Auth, "postgres.no_pg_hba_entry", Config, "pg_hba.conf");
    let client = authority.issue("circle", &["DNS:circle"], 10);
    let with = |certificate: &std::path::Path, key: &std::path::Path| {
        format!("{uri}&sslcert={}&sslkey={}", certificate.display(), key.display())
    };
    fs::set_permissions(&client.key, fs::Permissions::from_mode(0o644)).unwrap();
    let open = with(&client.certificate, &client.key);
    node.breaks(&open, Rung::Tls, "tls.client_certificate", Config, "its mode");
    fs::set_permissions(&client.key, fs::Permissions::from_mode(0o600)).unwrap();
    node.holds(&open);
    let strange_authority = Authority::new();
    let stranger = strange_authority.issue("stranger", &["DNS:circle"], 10);
    fs::set_permissions(&stranger.key, fs::Permissions::from_mode(0o600)).unwrap();
    let other = with(&stranger.certificate, &stranger.key);
    node.breaks(
        &other,
        Rung::Tls,
        "tls.client_certificate_rejected",
        Config,
        "the CA which the server trusts",
    );
    node.breaks(
        &with(&client.certificate, &stranger.key),
        Rung::Tls,
        "tls.client_certificate",
        Config,
        "Correct",
    );
}

#[test]
fn logins_that_the_server_refuses() {
    let authority = Authority::new();
    let postgres = Postgres::with_tls(&authority.issue("server", &["IP:127.0.0.1"], 10));
    let node = Node::new("");
    let uri = postgres.uri();
    let user = |name: &str| uri.replace("circle:circle-password", name);
    let rejected = "postgres.password_rejected";
    let cause = node.breaks(&user("circle:wrong-password"), Rung::Auth, rejected, Config, "ALTER ROLE");
    assert!(cause.evidence.iter().any(|one| one.name == "SQLSTATE" && one.value == "28P01"), "{cause:?}");
    node.breaks(&user("nobody:wrong-password"), Rung::Auth, rejected, Config, "Correct user");
    node.breaks(&user("circle"), Rung::Auth, "postgres.no_password", Config, "PASSWORD");
    postgres.sql("postgres", "create role idle password 'idle-password'");
    node.breaks(&user("idle:idle-password"), Rung::Auth, "postgres.no_role", Config, "LOGIN");
    postgres.sql("postgres", "create role few login password 'few-password' connection limit 0");
    node.breaks(
        &user("few:few-password"),
        Rung::Auth,
        "postgres.too_many_connections",
        External,
        "max_connections",
    );
    postgres.sql("postgres", "create role guest login password 'guest-password'");
    let missing =
        uri.replace(&format!("{}/circle", postgres.port()), &format!("{}/no_such_database", postgres.port()));
    let cause = node.breaks(&missing, Rung::Database, "postgres.no_database", Config, "Create the database");
    assert!(cause.sentence.contains("no_such_database"), "{cause:?}");
    node.breaks(
        &user("guest:guest-password"),
        Rung::Database,
        "postgres.no_privilege",
        Config,
        "GRANT ALL ON SCHEMA",
    );
    postgres
        .sql("circle", "grant all on schema public to guest; create table plans (); create table builds ()");
    let cause =
        node.breaks(&user("guest:guest-password"), Rung::Database, "postgres.no_privilege", Config, "TABLES");
    assert_eq!(cause.evidence[0].value, "builds, plans");
    postgres.sql("circle", "drop table plans, builds");
    postgres.sql("postgres", "revoke connect on database circle from public");
    node.breaks(&user("guest:guest-password"), Rung::Database, "postgres.no_privilege", Config, "GRANT");

    postgres.write_hba(&format!("{HBA}hostssl all all 127.0.0.1/32 scram-sha-256\n"));
    postgres.reload();
    node.holds(&uri);
    // libpq tries the other way by itself for these two.
    node.holds(&format!("{uri}?sslmode=allow"));
    node.breaks(
        &format!("{uri}?sslmode=disable"),
        Rung::Auth,
        "postgres.tls_required",
        Config,
        "sslmode=require",
    );
    postgres.write_hba(&format!("{HBA}hostnossl all all 127.0.0.1/32 scram-sha-256\n"));
    postgres.reload();
    warns(&node.holds(&uri), "postgres.no_pg_hba_entry");
    postgres.write_hba(HBA);
    postgres.reload();
    for mode in ["prefer", "disable", "require", "allow"] {
        let uri = format!("{uri}?sslmode={mode}");
        node.breaks(&uri, Rung::Auth, "postgres.no_pg_hba_entry", Config, "subnet");
    }
}

#[test]
fn servers_that_take_no_writes() {
    let mut postgres = Postgres::start();
    let node = Node::new("");
    let uri = postgres.uri();
    postgres.sql("postgres", "alter role circle set default_transaction_read_only = on");
    node.breaks(&uri, Rung::Role, "postgres.read_only", External, "default_transaction_read_only");
    postgres.sql("postgres", "alter role circle reset default_transaction_read_only");
    let standby = format!("{uri}?target_session_attrs=standby");
    node.breaks(&standby, Rung::Role, "postgres.target", Config, "target_session_attrs");

    postgres.stop();
    fs::write(postgres.data().join("standby.signal"), "").unwrap();
    postgres.resume();
    let cause = node.breaks(&uri, Rung::Role, "postgres.standby", External, "reader endpoint");
    assert_eq!(cause.evidence[0].value, "true");
    let other = Postgres::start();
    let both = uri.replace('@', "@127.0.0.1:PORT,").replace("PORT", &postgres.port().to_string());
    let both = both.replace(
        &format!("127.0.0.1:{0},127.0.0.1:{0}", postgres.port()),
        &format!("127.0.0.1:{},127.0.0.1:{}", postgres.port(), other.port()),
    );
    let climb = node.holds(&format!("{both}?target_session_attrs=read-write"));
    warns(&climb, "postgres.standby");
    node.breaks(&both, Rung::Role, "postgres.standby", External, "primary");

    postgres.stop();
    postgres.set("hot_standby = off");
    postgres.resume_unready();
    node.breaks(&uri, Rung::Auth, "postgres.starting_up", External, "Wait");
    node.holds(&both);
}

#[test]
fn every_connection_is_taken() {
    let mut postgres = Postgres::start();
    postgres.set("max_connections = 5\nsuperuser_reserved_connections = 4\nmax_wal_senders = 0");
    postgres.stop();
    postgres.resume();
    let hold = || {
        let mut psql = std::process::Command::new("psql");
        let psql = psql.args([postgres.uri().as_str(), "--command", "select pg_sleep(60)"]);
        psql.stdout(std::process::Stdio::null()).spawn().unwrap()
    };
    let busy = "select count(*) from pg_stat_activity where query like 'select pg_sleep%'";
    let mut holder = hold();
    let started = std::time::Instant::now();
    while postgres.sql("postgres", busy) != "1" {
        assert!(started.elapsed().as_secs() < 30, "the one connection cannot be had");
        // The harness's own question may have been in the way.
        if holder.try_wait().unwrap().is_some() {
            holder = hold();
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let node = Node::new("");
    node.breaks(&postgres.uri(), Rung::Auth, "postgres.too_many_connections", External, "max_connections");
    holder.kill().unwrap();
    holder.wait().unwrap();
}
