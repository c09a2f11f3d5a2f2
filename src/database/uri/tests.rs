#![allow(clippy::unwrap_used, clippy::panic)]

use crate::cpu_time::cpu_time;
use crate::kind::Kind;
use std::net::IpAddr;
use std::path::Path;

use proptest::prelude::*;

use super::mongo::Seeds;
use super::postgres::{RootCert, SessionTarget, SslMode};
use super::*;
use crate::secret::Secrets;

fn postgres(text: &str) -> PostgresUri {
    super::postgres::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn mongo(text: &str) -> MongoUri {
    super::mongo::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn shown(servers: &[Server]) -> Vec<String> {
    servers.iter().map(Server::to_string).collect()
}

#[test]
fn postgres_forms_that_libpq_understands() {
    let uri = postgres(
        "postgresql://circle:p%40ss@db1:5433,[::1],10.0.0.1:1/circle?sslmode=verify-full&sslrootcert=/ca",
    );
    assert_eq!(shown(&uri.servers), ["db1:5433", "[::1]:5432", "10.0.0.1:1"]);
    assert_eq!(uri.password.unwrap().expose(), "p@ss");
    assert_eq!((uri.user.as_deref(), uri.database.as_deref()), (Some("circle"), Some("circle")));
    assert_eq!(uri.tls.mode, SslMode::VerifyFull);
    assert_eq!(uri.tls.root_cert, RootCert::File("/ca".into()));

    let uri = postgres("postgres://u@%2Fvar%2Frun/db");
    assert_eq!(uri.servers[0].socket_path(Product::Postgres).unwrap(), Path::new("/var/run/.s.PGSQL.5432"));
    let uri = postgres("postgres:///db?host=/tmp&port=5499&user=u");
    assert_eq!(uri.servers[0].socket_path(Product::Postgres).unwrap(), Path::new("/tmp/.s.PGSQL.5499"));
    assert!(uri.warnings.is_empty(), "{:?}", uri.warnings);
    assert_eq!(postgres("postgres://u@/db").warnings[0].kind, Kind::PostgresUriNoHost);

    let uri =
        postgres("postgres://h/db?user=me@corp&ssl=true&target_session_attrs=read-write&connect_timeout=1");
    assert_eq!(uri.user.as_deref(), Some("me@corp"));
    assert_eq!((uri.tls.mode, uri.target), (SslMode::Require, SessionTarget::ReadWrite));
    assert_eq!(uri.connect_timeout.unwrap().as_secs(), 2);
    assert_eq!(postgres("postgres://u@h/?sslrootcert=system").tls.mode, SslMode::VerifyFull);
    assert_eq!(shown(&postgres("postgres://u@a,b,c:7/").servers), ["a:5432", "b:5432", "c:7"]);
    assert_eq!(shown(&postgres("postgres://u@a,b/?port=7").servers), ["a:7", "b:7"]);

    let uri = postgres("postgres://u@name/db?hostaddr=10.1.2.3");
    assert_eq!(uri.servers[0].address, Some(IpAddr::from([10, 1, 2, 3])));
    assert_eq!(uri.servers[0].host, Host::Name("name".into()));
}

#[test]
fn mongo_forms_that_drivers_understand() {
    let uri =
        mongo("mongodb://circle:p%3Aw@a:27018,b,[::1]:1/circle_ghe?authSource=admin&replicaSet=rs&ssl=true");
    let Seeds::Servers(servers) = &uri.seeds else { panic!("{uri:?}") };
    assert_eq!(shown(servers), ["a:27018", "b:27017", "[::1]:1"]);
    let credentials = uri.credentials.unwrap();
    assert_eq!(credentials.password.unwrap().expose(), "p:w");
    assert_eq!(credentials.source, "admin");
    assert_eq!(uri.replica_set.as_deref(), Some("rs"));
    assert!(uri.tls.on);

    assert_eq!(mongo("mongodb://u:p@h/db").credentials.unwrap().source, "db");
    assert_eq!(mongo("mongodb://u:p@h/").credentials.unwrap().source, "admin");
    assert_eq!(mongo("mongodb://h").credentials, None);
    assert!(mongo("mongodb://h").is_single_seed());
    let x509 = mongo("mongodb://h/?authMechanism=mongodb-x509&tls=true&tlsCertificateKeyFile=/k")
        .credentials
        .unwrap();
    assert_eq!((x509.mechanism, x509.source.as_str()), (Some("MONGODB-X509"), "$external"));
    let Seeds::Servers(servers) = mongo("mongodb://%2Ftmp%2Fmongodb-27017.sock/db").seeds else { panic!() };
    assert_eq!(servers[0].host, Host::Socket("/tmp/mongodb-27017.sock".into()));

    let mut srv = mongo("mongodb+srv://u:p@cluster.example.com/db");
    assert!(srv.tls.on);
    assert!(matches!(&srv.seeds, Seeds::Srv { name, .. } if name == "cluster.example.com"));
    srv.apply_txt("authSource=admin&replicaSet=rs0").unwrap();
    assert_eq!(srv.credentials.as_ref().unwrap().source, "admin");
    assert_eq!(srv.replica_set.as_deref(), Some("rs0"));
    srv.apply_txt("ssl=false").unwrap_err();
}

/// Text, column, and what sentence or next step must contain.
type Row = (&'static str, Option<usize>, &'static str);

const POSTGRES_ERRORS: &[Row] = &[
    ("postgres://circle:p@ss@host/db", Some(20), "unescaped @ in its password"),
    (
        "postgres://circle:p@ss:w/rd@host/db",
        Some(20),
        "password: @ at column 20, : at column 23, / at column 25.",
    ),
    (
        "postgres://circle:p@ss:w/r@d@host/db",
        Some(20),
        "In the password, write @ as %40, : as %3A and / as %2F.",
    ),
    ("postgres://c@i:p/ss@host/db", Some(13), "In the user name and password, write"),
    ("postgres://circle:p/ss@host/db", Some(20), "as %2F"),
    ("postgres://circle:p:ss@host/db", Some(20), "as %3A"),
    ("postgres://circle:p#ss@host/db", Some(20), "as %23"),
    ("postgres://circle:p?ss@host/db", Some(20), "as %3F"),
    ("postgres://circle:p?a=ss@host/db", Some(20), "as %3F"),
    ("postgres://circle:p%ss@host/db", Some(20), "as %25"),
    ("postgres://circle:a/b@c/d@host/db", Some(20), "as %2F"),
    ("postgres://circle:p ss@host/db", Some(20), "a space in its password"),
    ("postgres://circle:<password>@host/db", Some(19), "placeholder in angle brackets as its password"),
    ("postgres://circle:pw@<your host>/db", Some(22), "as its address"),
    ("postgres://circle:\u{201c}pw@host/db", Some(19), "curly quotation mark in its password"),
    ("circle:pw@host", Some(1), "does not begin with postgres://"),
    ("", Some(1), "is empty"),
    ("jdbc:postgresql://host/db", Some(1), "begins with jdbc:"),
    ("mongodb://h/db", Some(1), "is a MongoDB URI"),
    ("$POSTGRES_BASE/db", Some(1), "unexpanded shell variable"),
    ("postgres://u@host:54x2/db", Some(19), "port that is not a number"),
    ("postgres://u@host:65536/db", Some(19), "outside the range"),
    ("postgres://u@host:0/db", Some(19), "outside the range"),
    ("postgres://circle:hunter22", Some(19), "the @ and the host after it are missing"),
    ("postgres://u@::1/db", Some(14), "brackets"),
    ("postgres://u@[::1/db", Some(14), "an unclosed ["),
    ("postgres://u@[::1]x/db", Some(19), "after the ]"),
    ("postgres://u@[db]/db", Some(15), "other than an IPv6 address"),
    ("postgres://u@ho!st/db", Some(16), "an invalid character in a host name"),
    ("postgres://u@h/db?sslmod=require", Some(19), "Did you mean sslmode?"),
    ("postgres://u@h/db?sslmode=verifyfull", Some(27), "Did you mean sslmode=verify-full?"),
    ("postgres://u@h/db?sslmode", Some(19), "without ="),
    ("postgres://u@h/db?options=a=b", Some(28), "as %3D"),
    ("postgres://u@h/db?connect_timeout=5s", Some(35), "whole number"),
    ("postgres://u@h/db?require_auth=md5,!gss", Some(32), "leading !"),
    ("postgres://u@h/db?sslmode=require&sslrootcert=system", None, "verify-full"),
    ("postgres://u@h/d%zzb", Some(17), "two hexadecimal digits"),
    ("postgres://u@h/d%00b", Some(17), "%00"),
    ("postgres://u@a,b/?port=1,2,3", None, "3 ports and 2 hosts"),
    ("postgres://u@a,b/?hostaddr=10.0.0.1", None, "one hostaddr for each host"),
];

const MONGO_ERRORS: &[Row] = &[
    ("mongodb://circle:p@ss@host/db", Some(19), "unescaped @ in its password"),
    ("mongodb://circle:p/ss@host/db", Some(19), "as %2F"),
    ("mongodb://circle:p:ss@host/db", Some(19), "as %3A"),
    ("mongodb://circle:p%ss@host/db", Some(19), "as %25"),
    ("mongodb://circle:p#ss@host/db", Some(19), "as %23"),
    ("mongodb://circle:p?ss@host/db", Some(19), "as %3F"),
    ("mongodb://circle:p ss@host/db", Some(19), "%20"),
    ("mongodb://circle:<password>@<hostname>:27017/circle_ghe", Some(18), "placeholder"),
    ("circle:pw@host:27017/circle_ghe", Some(1), "does not begin with mongodb://"),
    ("postgres://h/db", Some(1), "is a PostgreSQL URI"),
    ("mongodb://u:p@/db", Some(15), "has no host"),
    ("mongodb://u:p@a,,b/db", Some(17), "has no host"),
    ("mongodb://@h/db", Some(11), "without a user name"),
    ("mongodb://u@h/db", Some(12), "user and no password"),
    ("mongodb://u:p@h:/db", Some(17), "without a port"),
    ("mongodb://u:p@h:70000/db", Some(17), "outside the range"),
    ("mongodb:///tmp/mongodb.sock/db", Some(11), "%2F"),
    ("mongodb://h?ssl=true", Some(12), "without a / before the ?"),
    ("mongodb://h/a$b", Some(13), "invalid database name"),
    ("mongodb+srv://h:27017/db", Some(17), "and a port"),
    ("mongodb+srv://a,b/db", Some(16), "more than one host"),
    ("mongodb+srv://10.0.0.1/db", Some(15), "instead of a name"),
    ("mongodb://h/?ssl=true&tls=false", Some(18), "contradictory values"),
    ("mongodb://h/?tlsInsecure=true&tlsAllowInvalidHostnames=true", Some(26), "Remove one of the two"),
    ("mongodb://h/?readPreference=secundary", Some(29), "did you mean secondary?"),
    ("mongodb://h/?connectTimeoutMS=ten", Some(31), "whole number"),
    ("mongodb://u:p@h/?authMechanism=SCRAM-SHA-512", Some(32), "SCRAM-SHA-256"),
    ("mongodb://u:p@h/?authMechanism=MONGODB-X509", Some(13), "takes none"),
    ("mongodb://h/?authMechanism=SCRAM-SHA-1", None, "no user"),
    ("mongodb://a,b/?directConnection=true", Some(33), "several hosts"),
    ("mongodb://h/?loadBalanced=true&replicaSet=rs", Some(27), "replicaSet with loadBalanced"),
    ("mongodb://h/?replicaSet=", Some(25), "non-empty"),
    ("mongodb://h/?w=0&journal=true", Some(26), "w=0"),
    ("mongodb://h/?readPreferenceTags=dc:ny", Some(33), "readPreference=primary"),
];

#[test]
fn each_mistake_is_named_with_its_place_and_without_the_password() {
    let rows = POSTGRES_ERRORS.iter().map(|row| (Product::Postgres, row));
    for (kind, (text, column, words)) in rows.chain(MONGO_ERRORS.iter().map(|row| (Product::Mongo, row))) {
        let error = match parse_as(kind, text) {
            Err(error) => error,
            Ok(parsed) => panic!("{text} was understood as {parsed:?}"),
        };
        let said = format!("{} {}", error.sentence, error.next_step);
        assert_eq!(error.column, *column, "{text}: {said}");
        assert!(said.contains(words), "{text}: {said}");
        assert!(!said.contains("ss@") && !said.contains("hunter"), "{text}: {said}");
        let cause = Cause::from(error);
        assert_eq!(cause.kind, if kind == Product::Postgres { Kind::PostgresUri } else { Kind::MongoUri });
    }
}

#[test]
fn a_text_that_is_far_too_long_is_refused_at_once() {
    for filling in ["://", "<", "@", ":a", "postgres://u:canary-pw@h/db ", "a,", "%41", "a=b&"] {
        let text = format!("postgres://{}", filling.repeat(1024 * 1024 / filling.len()));
        let started = cpu_time();
        let error = super::postgres::parse(&text).unwrap_err();
        assert!(error.sentence.contains("64 KiB"), "{error}");
        super::mongo::parse(&text.replacen("postgres", "mongodb", 1)).unwrap_err();
        // What was quadratic took more than a minute.
        assert!(cpu_time() - started < std::time::Duration::from_secs(10), "{filling}");
    }
    let many = "/".repeat(60_000);
    let error = super::postgres::parse(&format!("postgres://u:{many}@h/db")).unwrap_err();
    assert!(error.sentence.len() < 500 && error.sentence.contains("and 59988 more"), "{error}");
}

#[test]
fn what_drivers_ignore_is_a_warning() {
    for (text, kind, words) in [
        ("mongodb://h/?replicaset=rs&maxPoolSiz=5", Kind::MongoUriUnknownOption, "Did you mean maxPoolSize?"),
        ("mongodb://h/?ssl=true&ssl_ca_certs=ca", Kind::MongoUriOldOption, "tlsCAFile"),
        ("mongodb://h/?ssl=maybe", Kind::MongoUriBoolean, "ssl=true"),
        ("mongodb://h/?maxPoolSize=-1", Kind::MongoUriNumber, "at least 0"),
        ("mongodb://h/?zlibCompressionLevel=10", Kind::MongoUriNumber, "from -1 to 9"),
        ("mongodb://h/?maxStalenessSeconds=5", Kind::MongoUriNumber, "at least 90"),
        ("mongodb://a,b/", Kind::MongoUriNoReplicaSet, "replicaSet=NAME"),
        ("mongodb+srv://h.example.com/", Kind::MongoUriSrv, "List the servers"),
        ("mongodb://u:a+b@h/", Kind::MongoUriPlus, "%2B"),
        ("mongodb://h/?tls=true", Kind::MongoUriTlsName, "ssl=true"),
        ("mongodb://h/?ssl=true&tlsCAFile=ca", Kind::MongoUriTlsOption, "trust store"),
        ("mongodb://h/?ssl=yes", Kind::MongoUriBoolean, "ssl=true"),
        ("mongodb://h/?tlsCAFile=ca", Kind::MongoUriTlsUnused, "ssl=true"),
        ("mongodb://h/?ssl=true&tlsInsecure=true", Kind::MongoUriTlsUnverified, "tlsCAFile"),
        ("mongodb://h/?w=1&w=2", Kind::MongoUriRepeatedOption, "Keep only one"),
        ("mongodb://h/?authSource=admin", Kind::MongoUriNoUser, "user:password@"),
        ("mongodb://h/?compressors=lzma", Kind::MongoUriCompressor, "snappy"),
    ] {
        let uri = mongo(text);
        assert_eq!(uri.warnings.len(), 1, "{text}: {:?}", uri.warnings);
        assert_eq!(uri.warnings[0].kind, kind, "{text}");
        assert!(uri.warnings[0].next_step.contains(words), "{text}: {:?}", uri.warnings[0]);
    }
    assert_eq!(mongo("mongodb://h/?ssl=true&ssl_ca_certs=/ca").tls.ca_file.unwrap(), Path::new("/ca"));
}

fn of(text: &str) -> Secrets {
    let secrets = Secrets::default();
    secrets.register_all(secrets_in(text).iter().map(String::as_str));
    secrets
}

#[test]
fn neither_debug_nor_the_shown_form_has_a_secret() {
    let uri = parse("postgres://circle:uri%2Fcanary1@h/db?sslpassword=uri-canary2").unwrap();
    assert_eq!(uri.shown(), "postgres://circle:[redacted]@h/db?sslpassword=[redacted]");
    assert!(!format!("{uri:?}").contains("canary"), "{uri:?}");
    let secrets = of("postgres://circle:uri%2Fcanary1@h/db?sslpassword=uri-canary2");
    assert_eq!(secrets.scrub("uri/canary1 uri%2Fcanary1 uri-canary2"), "[redacted] [redacted] [redacted]");
    let uri = parse("mongodb://circle:uri-canary3@h/db?tlsCertificateKeyFilePassword=uri-canary4").unwrap();
    assert!(!format!("{uri:?} {}", uri.shown()).contains("canary"), "{uri:?}");
}

#[test]
fn the_password_of_a_malformed_uri_is_found() {
    for (text, secret) in [
        ("postgres://u:malformed@fragment/5@host/db", "malformed@fragment/5"),
        ("u:schemeless-canary6@host", "schemeless-canary6"),
        ("mongodb://u:sla/shedcan?7@host:x/db", "sla/shedcan?7"),
        ("mongodb://u:misplaced-canary8/db", "misplaced-canary8"),
        ("ftp://u:canary%zz9@host", "canary%zz9"),
    ] {
        parse(text).unwrap_err();
        assert!(of(text).is_in(&format!("x {secret} y")), "{text}");
    }
    // What a program that misreads the first one says in its errors.
    assert!(
        of("postgres://u:malformed@fragment/5@host/db").is_in("could not translate host name \"fragment\"")
    );
    // The word that stands for a password in documentation is none.
    parse("mongodb://circle:<password>@host/db").unwrap_err();
    assert!(!of("mongodb://circle:<password>@host/db").is_in("the placeholder <password> is left"));
}

#[test]
fn without_a_scheme_both_kinds_are_named() {
    let error = parse("circle:unnamed-pw@host").unwrap_err();
    assert!(error.sentence.contains("mongodb+srv://") && error.sentence.contains("postgresql://"), "{error}");
    assert!(parse("postgress://h/db").unwrap_err().sentence.contains("postgresql://"));
}

fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "(postgres://|mongodb://|mongodb\\+srv://|)\\PC{0,60}") {
        let _ = secrets_in(&text);
        let _ = super::postgres::parse(&text);
        let _ = super::mongo::parse(&text);
    }

    #[test]
    fn no_text_of_the_grammar_makes_it_panic(text in "(postgres|mongodb)://[a-c@/:?#%&=,\\[\\]<> \"2]{0,40}") {
        let _ = secrets_in(&text);
        let _ = super::postgres::parse(&text);
        let _ = super::mongo::parse(&text);
    }

    // Without =, since `@/?name=value@` in a password cannot be told from an option.
    #[test]
    fn no_error_quotes_a_password(password in "[@/:?#%&,a-z0-9]{0,20}canary[@/:?#%&,a-z0-9]{0,20}") {
        let text = format!("postgres://circle:{password}@host/db");
        prop_assert!(secrets_in(&text).contains(&password));
        for error in [super::postgres::parse(&text).err(), super::mongo::parse(&text).err()].into_iter().flatten() {
            prop_assert!(!format!("{error:?}").contains("canary"), "{:?}", error);
        }
    }

    #[test]
    fn what_was_written_is_read(
        user in "\\PC{1,12}", password in "\\PC{1,12}", database in "[a-z_]{1,12}",
        hosts in proptest::collection::vec(("[a-z][a-z0-9-]{0,10}[a-z0-9]", 1u16..), 1..4),
    ) {
        prop_assume!(!user.contains('\0') && !password.contains('\0'));
        let list: Vec<String> = hosts.iter().map(|(host, port)| format!("{host}:{port}")).collect();
        let tail = format!("{}:{}@{}/{database}", encoded(&user), encoded(&password), list.join(","));
        let uri = super::postgres::parse(&format!("postgres://{tail}")).unwrap();
        prop_assert_eq!(shown(&uri.servers), list.clone());
        prop_assert_eq!(uri.user.as_deref(), Some(user.as_str()));
        prop_assert_eq!(uri.password.as_ref().unwrap().expose(), password.as_str());
        prop_assert_eq!(uri.database.as_deref(), Some(database.as_str()));
        let uri = super::mongo::parse(&format!("mongodb://{tail}")).unwrap();
        let Seeds::Servers(servers) = &uri.seeds else { panic!("{uri:?}") };
        prop_assert_eq!(shown(servers), list);
        let credentials = uri.credentials.as_ref().unwrap();
        prop_assert_eq!(credentials.user.as_deref(), Some(user.as_str()));
        prop_assert_eq!(credentials.password.as_ref().unwrap().expose(), password.as_str());
    }
}
