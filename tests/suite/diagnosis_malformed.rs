//! URIs that are none, or not what was meant: each of the mistakes that people make, with a secret in it that nobody may
//! see.

use boot_agent::cause::Class::Config;
use boot_agent::database::ladder::Rung;

use super::diagnosis::{Node, WORD};

/// The URI with `*` where a part of a secret stands, what is said of it, and the next step.
type Row = (&'static str, &'static str, &'static str);

const POSTGRES: &[Row] = &[
    ("postgres://circle:*p@*@127.0.0.1/circle", "unescaped @ in its password", "%40"),
    ("postgres://circle:*p/*@127.0.0.1/circle", "unescaped / in its password", "%2F"),
    ("postgres://circle:*p:*@127.0.0.1/circle", "unescaped : in its password", "%3A"),
    ("postgres://circle:*p#*@127.0.0.1/circle", "unescaped # in its password", "%23"),
    ("postgres://circle:*p?*@127.0.0.1/circle", "unescaped ? in its password", "%3F"),
    ("postgres://circle:*p%x*@127.0.0.1/circle", "unescaped % in its password", "%25"),
    ("postgres://circle:*p%E9*@127.0.0.1/circle", "not UTF-8", "%25"),
    (
        "postgres://circle:*p@*/*:*@127.0.0.1/circle",
        "@ at column 31, / at column 43, : at column 55",
        "@ as %40, / as %2F and : as %3A",
    ),
    ("postgres://circle:*@[]/circle", "empty brackets", "[::1]"),
    ("postgres://circle:*@127.0.0.1/circle?user=", "empty user", "user="),
    ("postgres://circle:*@[::1]:%zz/circle", "two hexadecimal digits", "%25"),
    ("postgres://circle:*p *@127.0.0.1/circle", "space in its password", "%20"),
    ("postgres://circle:\u{201c}*\u{201d}@127.0.0.1/circle", "curly quotation mark in its password", "curly"),
    ("postgres://circle:<password>@127.0.0.1/circle?sslpassword=*", "placeholder", "brackets included"),
    ("postgres://circle:*", "the @ and the host after it are missing", "host"),
    ("postgres://circle:*@127.0.0.1:543x/circle", "port that is not a number", "port"),
    ("postgres://circle:*@127.0.0.1:70000/circle", "outside the range", "port"),
    ("postgres://circle:*@[::1/circle", "an unclosed [", "]"),
    ("postgres://circle:*@127.0.0.1/circle?sslmod=require", "sslmod", "sslmode"),
    (
        "postgres://circle:*@127.0.0.1/circle?sslmode=verifyfull",
        "an invalid value for sslmode",
        "sslmode=verify-full",
    ),
    ("postgres://circle:*@127.0.0.1/circle?password=*&passwort=*", "passwort", "password"),
    ("jdbc:postgresql://127.0.0.1/circle?user=circle&password=*", "begins with jdbc:", "postgres://"),
    ("mysql://circle:*@127.0.0.1/circle", "does not begin with postgres://", "postgres://"),
    ("circle:*@127.0.0.1/circle", "does not begin with postgres://", "postgres://"),
    ("\"postgres://circle:*@127.0.0.1/circle\"", "quotation mark", "postgres://"),
    ("$URI_OF_*", "unexpanded shell variable", "postgres://"),
    ("", "is empty", "postgres://"),
];

const MONGO: &[Row] = &[
    ("mongodb://circle:*p@*@127.0.0.1/circle_ghe", "unescaped @ in its password", "%40"),
    ("mongodb://circle:*p/*@127.0.0.1/circle_ghe", "unescaped / in its password", "%2F"),
    ("mongodb://circle:*p:*@127.0.0.1/circle_ghe", "unescaped : in its password", "%3A"),
    ("mongodb://circle:*p#*@127.0.0.1/circle_ghe", "unescaped # in its password", "%23"),
    ("mongodb://circle:*p?*@127.0.0.1/circle_ghe", "unescaped ? in its password", "%3F"),
    ("mongodb://circle:*p%x*@127.0.0.1/circle_ghe", "unescaped % in its password", "%25"),
    ("mongodb://circle:*p *@127.0.0.1/circle_ghe", "space in its password", "%20"),
    (
        "mongodb://circle:\u{201c}*\u{201d}@127.0.0.1/circle_ghe",
        "curly quotation mark in its password",
        "curly",
    ),
    ("mongodb://circle:*@<hostname>:27017/circle_ghe", "placeholder", "brackets included"),
    ("mongodb://circle:*@127.0.0.1:/circle_ghe", "without a port", "port"),
    ("mongodb://circle:*@127.0.0.1:70000/circle_ghe", "outside the range", "port"),
    ("mongodb://circle:*@127.0.0.1,,127.0.0.2/circle_ghe", "has no host", "host"),
    ("mongodb://circle:*@/circle_ghe", "has no host", "host"),
    ("mongodb://circle:*", "the @ and the host after it are missing", "host"),
    ("mongodb://circle:*@127.0.0.1?ssl=true", "without a / before the ?", "/"),
    ("mongodb://circle:*@127.0.0.1/?authMechanism=SCRAM-SHA-512", "invalid value", "SCRAM-SHA-256"),
    ("mongodb://circle:*@127.0.0.1/?authMechanism=MONGODB-X509", "takes none", "password"),
    ("mongodb+srv://circle:*@127.0.0.1/circle_ghe", "instead of a name", "one DNS name"),
    ("mongodb+srv://circle:*@cluster.internal:27017/circle_ghe", "and a port", "port"),
];

#[test]
fn each_mistake_in_a_postgres_uri_is_named() {
    each(POSTGRES, "postgres.uri");
}

#[test]
fn each_mistake_in_a_mongo_uri_is_named() {
    each(MONGO, "mongo.uri");
}

fn each(rows: &[Row], kind: &str) {
    let node = Node::new("");
    for (uri, said, next_step) in rows {
        let cause = node.breaks(&uri.replace('*', WORD), Rung::Uri, kind, Config, "");
        let words = format!("{} {}", cause.sentence, cause.next_step);
        assert!(words.contains(said) && words.contains(next_step), "{uri}: {cause:#?}");
    }
}
