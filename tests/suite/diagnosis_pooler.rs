//! PostgreSQL behind a connection pooler, whose words are not PostgreSQL's.

use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use boot_agent::cause::Class::{Config, External};
use boot_agent::database::ladder::Rung;

use super::diagnosis::{BlackHole, Node, PASSWORD, WRONG, odd_password, shows};
use super::diagnosis_postgres::{allow, server};
use super::harness::pgbouncer::PgBouncer;

fn users() -> Vec<(&'static str, String)> {
    vec![("circle", PASSWORD.to_owned()), ("odd", odd_password())]
}

fn pooler(databases: &str, settings: &str) -> PgBouncer {
    let users = users();
    let users: Vec<(&str, &str)> = users.iter().map(|(user, password)| (*user, password.as_str())).collect();
    PgBouncer::start(databases, settings, &users)
}

#[test]
fn what_pgbouncer_says() {
    let postgres = server(None);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let hole = BlackHole::open();
    let (_, hole) =
        hole.address().rsplit_once(':').map(|(host, port)| (host.to_owned(), port.to_owned())).unwrap();
    let port = postgres.port();
    let databases = format!(
        "circle = host=127.0.0.1 port={port} dbname=circle\n\
         paused = host=127.0.0.1 port={port} dbname=circle\n\
         down = host=127.0.0.1 port={closed} dbname=circle\n\
         hung = host=127.0.0.1 port={hole} dbname=circle\n\
         absent = host=127.0.0.1 port={port} dbname=no_such_database\n\
         locked = host=127.0.0.1 port={port} dbname=circle user=circle password={WRONG}\n",
    );
    // After a failed login to the server it would let clients wait for a while, and what each is told would depend on when
    // it came.
    let bouncer = pooler(&databases, "server_login_retry = 0");
    let node = Node::new("");
    let at = |database: &str| format!("postgres://circle:{PASSWORD}@127.0.0.1:{}/{database}", bouncer.port());
    let found = node.holds(&at("circle"));
    assert_eq!(found.warnings(), [], "{found:?}");

    let rejected = "postgres.password_rejected";
    let cause =
        node.breaks(&at("circle").replace(PASSWORD, WRONG), Rung::Auth, rejected, Config, "auth_file");
    assert!(cause.sentence.contains("pooler"), "{cause:?}");
    shows(&cause, "SQLSTATE", "08P01");
    let nobody = at("circle").replace("circle:", "nobody:");
    node.breaks(&nobody, Rung::Auth, rejected, Config, "Correct user");
    let cause = node.breaks(&at("other"), Rung::Database, "postgres.no_database", Config, "[databases]");
    assert!(cause.sentence.contains("pooler") && cause.sentence.contains("other"), "{cause:?}");
    let option = format!("{}?options=-c%20statement_timeout%3D5s", at("circle"));
    let parameter = "postgres.startup_parameter";
    node.breaks(&option, Rung::Auth, parameter, Config, "ignore_startup_parameters");

    for database in ["down", "hung"] {
        let down = "postgres.pooler_server_down";
        let cause = node.breaks(&at(database), Rung::Auth, down, External, "behind the pooler is up");
        assert!(cause.sentence.contains("pooler"), "{cause:?}");
    }
    let cause = node.breaks(&at("absent"), Rung::Database, "postgres.no_database", Config, "dbname");
    assert!(cause.sentence.contains("behind"), "{cause:?}");
    node.breaks(&at("locked"), Rung::Auth, "postgres.pooler_login", External, "the pooler's own login");
    bouncer.command("DISABLE paused");
    node.breaks(&at("paused"), Rung::Database, "postgres.database_closed", External, "ENABLE");

    let admin = "postgres.admin_console";
    node.breaks(&at("pgbouncer"), Rung::Database, admin, Config, "the app's database");
    let by_admin =
        at("pgbouncer").replace(&format!("circle:{PASSWORD}"), &format!("{0}:{0}", PgBouncer::ADMIN));
    node.breaks(&by_admin, Rung::Database, admin, Config, "the app's database");

    // A pool that was never filled cannot log in either.
    allow(&postgres, "host all all 127.0.0.2/32 scram-sha-256");
    let fresh = pooler(&databases, "server_login_retry = 0");
    let refused = format!("postgres://circle:{PASSWORD}@127.0.0.1:{}/circle", fresh.port());
    node.breaks(&refused, Rung::Auth, "postgres.pooler_login", External, "pg_hba.conf");
}

#[test]
fn a_pooler_at_its_limit() {
    let postgres = server(None);
    let bouncer = pooler(&format!("circle = host=127.0.0.1 port={}", postgres.port()), "max_client_conn = 1");
    let node = Node::new("");
    let uri = format!("postgres://circle:{PASSWORD}@127.0.0.1:{}/circle", bouncer.port());
    let mut psql = Command::new("psql");
    psql.args([uri.as_str(), "--command", "select pg_sleep(600)"]);
    let mut holder = psql.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let busy = "select count(*) from pg_stat_activity where query like 'select pg_sleep%'";
    let started = Instant::now();
    while postgres.sql("postgres", busy) != "1" {
        assert!(started.elapsed() < Duration::from_secs(90), "the one connection cannot be had");
        std::thread::sleep(Duration::from_millis(50));
    }
    let full = "postgres.too_many_connections";
    let cause = node.breaks(&uri, Rung::Auth, full, External, "max_client_conn");
    assert!(cause.sentence.contains("pooler"), "{cause:?}");
    holder.kill().unwrap();
    holder.wait().unwrap();
}

#[test]
fn a_pooler_that_wants_tls() {
    use super::harness::certificates::{Authority, give};
    let postgres = server(None);
    let authority = Authority::new();
    let certificate = authority.issue("pooler", &["IP:127.0.0.1"], 10);
    for file in [&certificate.certificate, &certificate.key] {
        give(file, "postgres");
    }
    std::fs::set_permissions(
        authority.certificate().parent().unwrap(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let settings = format!(
        "client_tls_sslmode = require\nclient_tls_cert_file = {}\nclient_tls_key_file = {}",
        certificate.certificate.display(),
        certificate.key.display()
    );
    let bouncer = pooler(&format!("circle = host=127.0.0.1 port={}", postgres.port()), &settings);
    let node = Node::new("");
    let uri = format!("postgres://circle:{PASSWORD}@127.0.0.1:{}/circle", bouncer.port());
    node.holds(&uri);
    node.holds(&format!("{uri}?sslmode=verify-full&sslrootcert={}", authority.certificate().display()));
    let plain = format!("{uri}?sslmode=disable");
    node.breaks(&plain, Rung::Auth, "postgres.tls_required", Config, "sslmode=require");
    // libpq tries the other way by itself.
    node.holds(&format!("{uri}?sslmode=allow"));
}
