//! States of disrepair as a table: what is wrong, and the rung, kind, class and words that must be told. The rows are
//! independent of each other, and tried in an order that a seed decides.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{SystemTime, UNIX_EPOCH};

use boot_agent::cause::Class::{self, Config, External, Host};
use boot_agent::database::ladder::Rung;

use super::diagnosis::{Diagnosis, Node, PASSWORD, publish};
use super::diagnosis_mongo::{server as mongo_server, uri as mongo_uri};
use super::diagnosis_mongo_tls::with_tls_mode;
use super::diagnosis_postgres::{allow, server, uri};
use super::diagnosis_rude::rude;
use super::harness::certificates::Authority;
use super::harness::mongo::{Options, Version};

/// What must be told: words of the sentence, the next step or the evidence.
struct Row {
    what: &'static str,
    /// What `pg_hba.conf` says of the network, where that is what is wrong.
    rules: &'static str,
    uri: String,
    expected: Expected,
    words: &'static str,
}

enum Expected {
    Breaks(Rung, &'static str, Class),
    Warns(&'static str),
    Good,
}

fn row(what: &'static str, uri: String, expected: Expected, words: &'static str) -> Row {
    Row { what, rules: "", uri, expected, words }
}

fn judge(row: &Row, found: &Diagnosis) -> Result<(), String> {
    let said = match row.expected {
        Expected::Good if found.is_good() => String::new(),
        Expected::Good => return Err(format!("{}: {found:?}", row.what)),
        Expected::Warns(kind) => {
            match found.warnings().into_iter().find(|warning| warning.kind.as_str() == kind) {
                Some(warning) if found.is_good() => serde_json::to_string(&warning).unwrap(),
                _ => return Err(format!("{}: no warning {kind}: {found:?}", row.what)),
            }
        }
        Expected::Breaks(rung, kind, class) => match found.failure() {
            Some((broken, cause)) if (broken, cause.kind.as_str(), cause.class) == (rung, kind, class) => {
                serde_json::to_string(&cause).unwrap()
            }
            _ => return Err(format!("{}: not {rung} {kind}: {found:?}", row.what)),
        },
    };
    match said.contains(row.words) {
        true => Ok(()),
        false => Err(format!("{}: {:?} is not said: {said}", row.what, row.words)),
    }
}

/// Tries the rows in an order of this run's own; that of another run is had by its seed.
#[track_caller]
fn try_all(table: &str, node: &Node, mut rows: Vec<Row>, prepare: impl Fn(&Row)) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let seed = std::env::var("BOOT_AGENT_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or(u64::try_from(now % 1_000_000).unwrap());
    println!("{table}: {} rows, BOOT_AGENT_TEST_SEED={seed}", rows.len());
    // A congruential generator is enough to mix some dozen rows.
    let mut state = seed;
    for last in (1..rows.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        rows.swap(last, usize::try_from(state >> 33).unwrap() % (last + 1));
    }
    let wrong: Vec<String> = rows
        .iter()
        .filter_map(|row| {
            prepare(row);
            judge(row, &node.once(&row.uri)).err()
        })
        .collect();
    assert!(wrong.is_empty(), "seed {seed}: {} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

/// What `pg_hba.conf` lets in, of a server with TLS.
const RULES: &[(&str, &str, Rung, &str, Class, &str)] = {
    use Rung::Auth;
    const NO_ENTRY: &str = "postgres.no_pg_hba_entry";
    const REJECTED: &str = "postgres.auth_rejected";
    &[
        (
            "a subnet that is not this one",
            "host all all 10.0.0.0/8 scram-sha-256",
            Auth,
            NO_ENTRY,
            Config,
            "subnet",
        ),
        (
            "another database",
            "host postgres all all scram-sha-256",
            Auth,
            NO_ENTRY,
            Config,
            "admit circle to circle",
        ),
        ("another user", "host all other all scram-sha-256", Auth, NO_ENTRY, Config, "admit circle"),
        (
            "replication alone",
            "host replication all all scram-sha-256",
            Auth,
            NO_ENTRY,
            Config,
            "pg_hba.conf",
        ),
        (
            "reject above all",
            "host all circle all reject\nhost all all all scram-sha-256",
            Auth,
            "postgres.pg_hba_reject",
            Config,
            "above the reject entry",
        ),
        ("ident", "host all all all ident", Auth, REJECTED, Config, "ignores the password"),
        (
            "ldap without its server",
            "host all all all ldap ldapserver=127.0.0.1 ldapport=1 ldapprefix=\"cn=\"",
            Auth,
            REJECTED,
            Config,
            "ldapserver",
        ),
        (
            "radius without its server",
            "host all all all radius radiusservers=\"127.0.0.1\" radiussecrets=\"x\" radiusports=\"1\"",
            Auth,
            REJECTED,
            Config,
            "radiussecrets",
        ),
        (
            "pam without its service",
            "host all all all pam pamservice=nosuch",
            Auth,
            REJECTED,
            Config,
            "pamservice",
        ),
        ("gss", "host all all all gss", Auth, "postgres.auth_method", Config, "Kerberos"),
        ("cert", "hostssl all all all cert", Auth, "tls.client_certificate_required", Config, "sslcert"),
    ]
};

#[test]
fn rules_of_postgres() {
    let authority = Authority::new();
    let postgres = server(Some(&authority.issue("server", &["IP:127.0.0.1"], 10)));
    std::fs::copy(authority.certificate(), postgres.data().join("ca.pem")).unwrap();
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(postgres.data().join("ca.pem"), readable).unwrap();
    postgres.set("ssl_ca_file = 'ca.pem'");
    let node = Node::new("");
    let rows = RULES.iter().map(|(what, rules, rung, kind, class, words)| Row {
        what,
        rules,
        uri: uri(&postgres),
        expected: Expected::Breaks(*rung, kind, *class),
        words,
    });
    let mut rows: Vec<Row> = rows.collect();
    for (what, rules) in [
        ("md5 with a scram secret", "host all all all md5"),
        ("the password itself", "hostssl all all all password"),
        ("trust", "host all all all trust"),
        ("plaintext rejected", "hostnossl all all all reject\nhostssl all all all scram-sha-256"),
    ] {
        rows.push(Row { rules, ..row(what, uri(&postgres), Expected::Good, "") });
    }
    try_all("rules of PostgreSQL", &node, rows, |row| allow(&postgres, row.rules));
}

#[test]
fn roles_and_databases_of_postgres() {
    let authority = Authority::new();
    let postgres = server(Some(&authority.issue("server", &["IP:127.0.0.1"], 10)));
    let login = format!("login password '{PASSWORD}'");
    for statement in [
        format!("create role unset login; create role old {login} valid until '2020-01-01'"),
        format!("set password_encryption = md5; create role md5 {login}"),
        format!("create role few {login} connection limit 0"),
        format!("create role hasty {login}; alter role hasty set statement_timeout = '1ms'"),
        format!("create role numbered {login}; create role barred {login}"),
        "create database closed allow_connections false".to_owned(),
        "create database crowded owner circle connection limit 0".to_owned(),
        "create database ascii owner circle encoding 'SQL_ASCII' template template0 locale 'C'".to_owned(),
        "create database latin owner circle encoding 'LATIN1' template template0 locale 'C'".to_owned(),
        "create database frozen owner circle".to_owned(),
        "alter database frozen set default_transaction_read_only = on".to_owned(),
    ] {
        postgres.sql("postgres", &statement);
    }
    postgres.sql(
        "circle",
        "grant all on schema public to hasty, numbered; create table counted (id serial primary key); \
         grant all on counted to numbered; grant all on counted, counted_id_seq to circle, hasty; \
         create schema app; grant usage on schema app to barred",
    );
    postgres.sql("postgres", "alter role barred set search_path = app");
    let base = uri(&postgres);
    let role = |name: &str| base.replace("circle:", &format!("{name}:"));
    let database = |name: &str| {
        let (head, _) = base.rsplit_once('/').unwrap();
        format!("{head}/{name}")
    };
    let with = |options: &str| format!("{base}?{options}");
    let rejected = || Expected::Breaks(Rung::Auth, "postgres.password_rejected", Config);
    let full = || Expected::Breaks(Rung::Auth, "postgres.too_many_connections", External);
    let parameter = || Expected::Breaks(Rung::Auth, "postgres.startup_parameter", Config);
    let denied = || Expected::Breaks(Rung::Database, "postgres.no_privilege", Config);
    let rows = vec![
        row("a role without a password", role("unset"), rejected(), "was never set"),
        row("a password that has expired", role("old"), rejected(), "VALID UNTIL"),
        row("an MD5 secret under scram-sha-256", role("md5"), rejected(), "MD5"),
        row("a role in capitals", role("Circle"), rejected(), "no such user"),
        row("the role's connection limit", role("few"), full(), "ALTER ROLE few CONNECTION LIMIT"),
        row(
            "the database's connection limit",
            database("crowded"),
            full(),
            "ALTER DATABASE crowded CONNECTION LIMIT",
        ),
        row(
            "a database that lets nobody in",
            database("closed"),
            Expected::Breaks(Rung::Database, "postgres.database_closed", External),
            "ALLOW_CONNECTIONS",
        ),
        row(
            "a database in capitals",
            database("Circle"),
            Expected::Breaks(Rung::Database, "postgres.no_database", Config),
            "Circle",
        ),
        row(
            "a database that is read-only",
            database("frozen"),
            Expected::Breaks(Rung::Role, "postgres.read_only", External),
            "the database",
        ),
        row("SQL_ASCII", database("ascii"), Expected::Warns("postgres.encoding"), "ENCODING 'UTF8'"),
        row("LATIN1", database("latin"), Expected::Warns("postgres.encoding"), "LATIN1"),
        row(
            "a statement_timeout of a millisecond",
            role("hasty"),
            Expected::Breaks(Rung::Database, "postgres.statement_timeout", Config),
            "SHOW statement_timeout",
        ),
        row("a sequence that was not granted", role("numbered"), denied(), "public.counted_id_seq"),
        row("a search_path to where it may not create", role("barred"), denied(), "schema app"),
        row("an unknown setting in options", with("options=-c%20nosuch%3D1"), parameter(), "options"),
        row(
            "a setting for superusers in options",
            with("options=-c%20log_statement%3Dall"),
            parameter(),
            "options",
        ),
        row(
            "direct TLS before 17",
            with("sslmode=require&sslnegotiation=direct"),
            Expected::Breaks(Rung::Tls, "tls.direct", Config),
            "Remove sslnegotiation=direct",
        ),
        row(
            "no version of TLS left",
            with("sslmode=require&ssl_max_protocol_version=TLSv1"),
            Expected::Breaks(Rung::Tls, "tls.version", Config),
            "ssl_max_protocol_version",
        ),
        row(
            "prefer-standby without a standby",
            with("target_session_attrs=prefer-standby"),
            Expected::Good,
            "",
        ),
    ];
    try_all("roles and databases of PostgreSQL", &Node::new(""), rows, |_| {});
}

/// What says this first, or once it was asked, and waits for more.
fn speaks(words: &'static [u8], unasked: bool) -> u16 {
    rude(move |mut stream: TcpStream| {
        let mut request = [0; 4096];
        if !unasked {
            let _ = stream.read(&mut request);
        }
        let _ = stream.write_all(words);
        while stream.read(&mut request).is_ok_and(|length| length > 0) {}
    })
}

#[test]
fn ports_of_other_servers() {
    let mut rows = Vec::new();
    for (what, words, unasked, name) in [
        ("FTP", &b"220 ProFTPD Server ready.\r\n"[..], true, "a mail or FTP server"),
        ("SMTP", b"220-mail.example.com ESMTP\r\n", true, "a mail or FTP server"),
        ("IMAP", b"* OK IMAP4rev1 ready\r\n", true, "a mail or FTP server"),
        ("POP3", b"+OK POP3 ready\r\n", true, "a mail or FTP server"),
        ("VNC", b"RFB 003.008\n", true, "a VNC server"),
        ("Telnet", b"\xff\xfd\x18\xff\xfd\x20login: ", true, "a Telnet server"),
        ("AMQP", b"AMQP\x00\x00\x09\x01", false, "an AMQP server"),
        ("memcached", b"ERROR\r\n", false, "a memcached server"),
        ("Redis with a password", b"-NOAUTH Authentication required.\r\n", false, "a Redis server"),
        (
            "MySQL at its limit",
            b"\x10\0\0\0\xff\x10\x04Too many connections",
            true,
            "a MySQL or MariaDB server",
        ),
        (
            "SQL Server",
            b"\x04\x01\x00\x2b\x00\x00\x01\x00\x00\x00\x1a\x00\x06",
            false,
            "a Microsoft SQL Server",
        ),
        ("a load balancer's 503", b"HTTP/1.1 503 Service Unavailable\r\n\r\n", false, "an HTTP server"),
    ] {
        let port = speaks(words, unasked);
        let postgres = format!("postgres://circle:{PASSWORD}@127.0.0.1:{port}/circle");
        let mongo = format!("mongodb://circle:{PASSWORD}@127.0.0.1:{port}/circle_ghe");
        let tls = Rung::Tls;
        rows.push(row(what, postgres, Expected::Breaks(tls, "postgres.not_postgres", Config), name));
        rows.push(row(what, mongo, Expected::Breaks(tls, "mongo.not_mongodb", Config), name));
    }
    try_all("ports of other servers", &Node::new(""), rows, |_| {});
}

#[test]
fn users_of_mongodb() {
    let mongo = mongo_server(Options::new(Version::V4_4));
    let user = |name: &str, more: &str, roles: &str| {
        mongo.command(
            "admin",
            &[&format!(r#"{{"createUser": "{name}", "pwd": "{PASSWORD}"{more}, "roles": [{roles}]}}"#)],
        );
    };
    user("restricted", r#", "authenticationRestrictions": [{"clientSource": ["10.0.0.0/8"]}]"#, "");
    user("admin", "", r#"{"role": "userAdminAnyDatabase", "db": "admin"}"#);
    user("elsewhere", "", r#"{"role": "readWrite", "db": "circle"}"#);
    user("backup", "", r#"{"role": "backup", "db": "admin"}"#);
    user("monitor", "", r#"{"role": "clusterMonitor", "db": "admin"}"#);
    let base = mongo_uri(&mongo, "circle_ghe");
    let of = |name: &str| base.replace("circle:", &format!("{name}:"));
    let rejected = || Expected::Breaks(Rung::Auth, "mongo.login_rejected", Config);
    let no_role = || Expected::Breaks(Rung::Database, "mongo.no_role", Config);
    let rows = vec![
        row("a user for another subnet", of("restricted"), rejected(), "18 AuthenticationFailed"),
        row("a user in capitals", of("Circle"), rejected(), "no such user"),
        row("an administrator of users", of("admin"), no_role(), "not allowed to read and write"),
        row("roles on another database", of("elsewhere"), no_role(), "may write"),
        row("a user for backups", of("backup"), no_role(), "readWrite"),
        row("a user for monitoring", of("monitor"), no_role(), "readWrite"),
        row(
            "a database in capitals",
            mongo_uri(&mongo, "Circle_ghe"),
            no_role(),
            "Write circle_ghe in the URI: names of databases are case-sensitive",
        ),
        row(
            "passwords outside",
            base.replace("authSource=admin", "authSource=$external"),
            Expected::Breaks(Rung::Auth, "mongo.wrong_auth_source", Config),
            "keeps no passwords",
        ),
        row(
            "a certificate without TLS",
            format!("mongodb://127.0.0.1:{}/circle_ghe?authMechanism=MONGODB-X509", mongo.port()),
            Expected::Breaks(Rung::Auth, "mongo.x509_without_tls", Config),
            "ssl=true",
        ),
    ];
    try_all("users of MongoDB", &Node::new(""), rows, |_| {});
}

#[test]
fn chains_of_mongodb() {
    let root = Authority::named("Example Root CA");
    let middle = root.intermediate("Example Issuing CA");
    let own = middle.issue("mongo", &["IP:127.0.0.1"], 10);
    let arguments = |both: &std::path::Path| {
        let ca = root.certificate().display().to_string();
        Options::new(Version::V6_0)
            .args(&[
                "--tlsMode",
                "requireTLS",
                "--tlsAllowConnectionsWithoutCertificates",
                "--tlsCAFile",
                &ca,
            ])
            .args(&["--tlsCertificateKeyFile", both.to_str().unwrap()])
            .without_login()
            .start_without_users()
    };
    let (alone, whole) = (arguments(&own.both), arguments(&own.chained(&middle).both));
    let elsewhere = arguments(&root.issue("elsewhere", &["DNS:elsewhere"], 10).both);
    let at = |port: u16, ca: &Authority| {
        format!("mongodb://127.0.0.1:{port}/circle_ghe?ssl=true&tlsCAFile={}", ca.certificate().display())
    };
    let untrusted = || Expected::Breaks(Rung::Tls, "tls.unknown_ca", Config);
    let stranger = Authority::named("Stranger Root CA");
    let rows = vec![
        row(
            "the intermediate is not sent",
            at(alone.port(), &root),
            Expected::Breaks(Rung::Tls, "tls.incomplete_chain", Config),
            "net.tls.certificateKeyFile",
        ),
        row("the chain is whole", at(whole.port(), &root), Expected::Good, ""),
        row(
            "the intermediate alone is trusted",
            at(whole.port(), &middle),
            untrusted(),
            "Example Root CA, to the file",
        ),
        row("another root", at(whole.port(), &stranger), untrusted(), "Example Root CA"),
        row(
            "a certificate for another name",
            at(elsewhere.port(), &root),
            Expected::Breaks(Rung::Tls, "tls.wrong_name", Config),
            "elsewhere",
        ),
    ];
    try_all("chains of MongoDB", &Node::new(""), rows, |_| {});
    let allowing = mongo_server(with_tls_mode(
        "allowTLS",
        Version::V6_0,
        &root,
        &root.issue("allow", &["IP:127.0.0.1"], 10),
    ));
    let encrypted = mongo_uri(&allowing, "circle_ghe");
    let plain = encrypted.split("&tls=").next().unwrap().to_owned();
    let rows = vec![
        row("TLS is allowed and used", encrypted, Expected::Good, ""),
        row("TLS is allowed and not used", plain.clone(), Expected::Good, ""),
        row(
            "no store of authorities",
            format!("{plain}&ssl=true"),
            Expected::Breaks(Rung::Tls, "tls.no_authorities", Host),
            "ca-certificates",
        ),
    ];
    try_all("modes of MongoDB", &Node::new(""), rows, |_| {});
}

#[test]
fn revocation_lists() {
    let authority = Authority::new();
    let postgres = server(Some(&authority.issue("server", &["IP:127.0.0.1"], 10)));
    let with = |list: &std::path::Path| {
        let ca = authority.certificate();
        format!(
            "{}?sslmode=verify-full&sslrootcert={}&sslcrl={}",
            uri(&postgres),
            ca.display(),
            list.display()
        )
    };
    let (none, revoked) = (authority.revoke(None), authority.revoke(Some("server")));
    let stranger = Authority::named("Stranger Root CA");
    let strange = stranger.revoke(None);
    let rows = vec![
        row("nothing is revoked", with(&none), Expected::Good, ""),
        row(
            "the certificate is revoked",
            with(&revoked),
            Expected::Breaks(Rung::Tls, "tls.revoked", Config),
            "Issue a new certificate",
        ),
        row(
            "the list of another CA",
            with(&strange),
            Expected::Breaks(Rung::Tls, "tls.crl", Config),
            "remove sslcrl",
        ),
        // As in libpq.
        row("no list", with(std::path::Path::new("/no/such.crl")), Expected::Good, ""),
    ];
    try_all("revocation lists", &Node::new(""), rows, |_| {});
}

#[test]
fn name_servers_and_names() {
    let postgres = |host: &str| format!("postgres://circle:{PASSWORD}@{host}:1/circle");
    for resolver in ["", "# generated\n", "nameserver 10.0.0.\n"] {
        let rows = vec![row(
            "no name server",
            postgres("db.internal"),
            Expected::Breaks(Rung::Dns, "dns.no_server", Host),
            "names no DNS server",
        )];
        try_all("name servers", &Node::asking(resolver, ""), rows, |_| {});
    }
    publish("set.table.internal", "db1.table.internal", 27017, "authSource=admin");
    let rows = vec![
        row(
            "a name of SRV records",
            format!("mongodb://circle:{PASSWORD}@set.table.internal:27017/circle_ghe"),
            Expected::Breaks(Rung::Dns, "mongo.srv_name", Config),
            "mongodb+srv://",
        ),
        row(
            "a name that leads back here",
            postgres("own.internal"),
            Expected::Breaks(Rung::Tcp, "tcp.refused", External),
            "this machine itself",
        ),
        row(
            "IPv6 alone, and no route to it",
            postgres("six.internal"),
            Expected::Breaks(Rung::Tcp, "tcp.unreachable", External),
            "A record",
        ),
    ];
    try_all("names", &Node::new("127.0.0.1 own.internal\nfd00::1 six.internal\n"), rows, |_| {});
}

/// The rows of the whole table, in whatever form they are written.
#[test]
fn the_table_has_at_least_200_rows() {
    let sources = [
        include_str!("diagnosis_malformed.rs"),
        include_str!("diagnosis_mongo.rs"),
        include_str!("diagnosis_mongo_access.rs"),
        include_str!("diagnosis_mongo_set.rs"),
        include_str!("diagnosis_mongo_states.rs"),
        include_str!("diagnosis_mongo_tls.rs"),
        include_str!("diagnosis_pooler.rs"),
        include_str!("diagnosis_postgres.rs"),
        include_str!("diagnosis_postgres_tls.rs"),
        include_str!("diagnosis_rude.rs"),
    ];
    let broken: usize = sources.iter().map(|source| source.matches(".breaks(").count()).sum();
    let own = include_str!("diagnosis_table.rs").matches("        row(").count();
    // Each port is asked as both databases.
    let tables = own + RULES.len() + 2 * 12;
    println!("diagnosis: at least {broken} rows in code and {tables} in tables");
    assert!(broken + tables >= 200, "{broken} + {tables}");
}
