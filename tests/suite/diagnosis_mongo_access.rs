//! What MongoDB users may do, and who they are to the app's older driver and to today's.

use boot_agent::cause::Class::Config;
use boot_agent::database::rung::Rung;

use super::diagnosis::{Node, PASSWORD, WORD, shows};
use super::diagnosis_mongo::{server, uri};
use super::diagnosis_mongo_tls::with_tls_mode;
use super::harness::certificates::Authority;
use super::harness::mongo::{Mongo, Options, Version};

/// Just what the app does.
const OF_APP: &str = r#""find", "insert", "update", "remove", "createIndex", "createCollection", "listIndexes", "listCollections""#;

/// Makes a user `name` with a role of its own that grants `privileges` on top of `roles`.
fn with_role(mongo: &Mongo, name: &str, privileges: &str) {
    let role = format!(r#"{{"createRole": "{name}s", "privileges": [{privileges}], "roles": []}}"#);
    mongo.command("admin", &[&role, &user(name, PASSWORD, &format!(r#""{name}s""#))]);
}

fn user(name: &str, password: &str, roles: &str) -> String {
    format!(r#"{{"createUser": "{name}", "pwd": "{password}", "roles": [{roles}]}}"#)
}

fn on(database: &str, collection: &str, actions: &str) -> String {
    format!(r#"{{"resource": {{"db": "{database}", "collection": "{collection}"}}, "actions": [{actions}]}}"#)
}

#[test]
fn privileges_by_what_they_allow() {
    let node = Node::new("");
    for version in [Version::V6_0, Version::V4_4] {
        let mongo = server(Options::new(version));
        let uri = |name: &str, database: &str| uri(&mongo, database).replace("circle:", &format!("{name}:"));
        let good = |name: &str, database: &str| node.holds(&uri(name, database));
        let lacks = |name: &str, database: &str, missing: &str| {
            let uri = uri(name, database);
            let cause = node.breaks(&uri, Rung::Database, "mongo.no_role", Config, "grantRolesToUser");
            shows(&cause, "missing", missing);
            cause
        };
        let any = r#"{"resource": {"anyResource": true}, "actions": ["anyAction"]}"#;
        with_role(&mongo, "anybody", any);
        with_role(&mongo, "anyhere", &on("circle_ghe", "", r#""anyAction""#));
        with_role(&mongo, "exact", &on("circle_ghe", "", OF_APP));
        with_role(&mongo, "everywhere", &on("", "", OF_APP));
        let scattered =
            OF_APP.split(", ").map(|action| on("circle_ghe", "", action)).collect::<Vec<_>>().join(", ");
        with_role(&mongo, "scattered", &scattered);
        with_role(
            &mongo,
            "narrow",
            &on("circle_ghe", "", &OF_APP.replace(r#", "listIndexes", "listCollections""#, "")),
        );
        with_role(&mongo, "noindex", &on("circle_ghe", "", &OF_APP.replace(r#""createIndex", "#, "")));
        with_role(&mongo, "nodelete", &on("circle_ghe", "", &OF_APP.replace(r#""remove", "#, "")));
        with_role(&mongo, "other", &on("conductor", "", OF_APP));
        with_role(
            &mongo,
            "single",
            &[
                on("circle_ghe", "builds", OF_APP),
                on("circle_ghe", "users", OF_APP),
                on("circle_ghe", "", r#""listCollections""#),
            ]
            .join(", "),
        );
        for (name, role) in [
            ("almighty", r#""__system""#),
            ("superuser", r#""root""#),
            ("owner", r#"{"role": "dbOwner", "db": "circle_ghe"}"#),
            ("anywriter", r#""readWriteAnyDatabase""#),
            ("admin", r#"{"role": "dbAdmin", "db": "circle_ghe"}"#),
            ("nobody", ""),
        ] {
            mongo.command("admin", &[&user(name, PASSWORD, role)]);
        }
        for name in [
            "anybody",
            "anyhere",
            "exact",
            "everywhere",
            "scattered",
            "almighty",
            "superuser",
            "owner",
            "anywriter",
        ] {
            assert!(
                !good(name, "circle_ghe").warned_of().contains(&"mongo.narrow_role".to_owned()),
                "{name}"
            );
        }
        for name in ["anybody", "everywhere", "almighty", "superuser", "anywriter"] {
            good(name, "conductor");
        }
        let found = good("narrow", "circle_ghe");
        shows(&found.warns("mongo.narrow_role"), "missing", "listCollections, listIndexes");
        assert!(
            lacks("noindex", "circle_ghe", "createIndex").sentence.contains("is not allowed to fully use")
        );
        assert!(lacks("nodelete", "circle_ghe", "remove").sentence.contains("is not allowed to write"));
        for (name, database) in [("other", "circle_ghe"), ("nobody", "circle_ghe"), ("exact", "conductor")] {
            let cause = lacks(name, database, "find, insert, update, remove, createIndex, createCollection");
            assert!(cause.sentence.contains("is not allowed to read and write"), "{cause:?}");
        }
        lacks("admin", "circle_ghe", "find");
        // Single collections are enough as long as they are all there are.
        let found = good("single", "circle_ghe");
        shows(&found.warns("mongo.narrow_role"), "collections", "builds, users");
        mongo.command("circle_ghe", &[r#"{"create": "builds"}"#, r#"{"create": "projects"}"#]);
        lacks("single", "circle_ghe", "insert on projects");
    }
}

#[test]
fn credentials_that_drivers_read_differently() {
    let node = Node::new("");
    let mongo = server(Options::new(Version::V4_4));
    let uri =
        |login: &str| uri(&mongo, "circle_ghe").replace(&format!("circle:{PASSWORD}@"), &format!("{login}@"));
    let role = r#"{"role": "readWrite", "db": "circle_ghe"}"#;
    let new = format!(
        r#"{{"createUser": "new", "pwd": "{PASSWORD}", "roles": [{role}], "mechanisms": ["SCRAM-SHA-256"]}}"#
    );
    mongo.command(
        "admin",
        &[
            &user("plus", &format!("{PASSWORD}+{WORD}"), role),
            &user("blank", &format!("{PASSWORD} {WORD}"), role),
            &new,
        ],
    );
    let found = node.holds(&uri(&format!("plus:{PASSWORD}+{WORD}")));
    let cause = found.warns("mongo.uri_plus");
    shows(&cause, "today's drivers", "log in");
    shows(&cause, "older Java drivers", "are rejected");
    let found = node.holds(&uri(&format!("blank:{PASSWORD}+{WORD}")));
    let cause = found.warns("mongo.uri_plus");
    shows(&cause, "today's drivers", "are rejected");
    shows(&cause, "older Java drivers", "log in");
    for login in [format!("plus:{PASSWORD}%2B{WORD}"), format!("blank:{PASSWORD}%20{WORD}")] {
        assert_eq!(node.holds(&uri(&login)).warned_of(), ["mongo.version"]);
    }
    let neither = uri(&format!("plus:{PASSWORD}+{PASSWORD}"));
    node.breaks(&neither, Rung::Auth, "mongo.login_rejected", Config, "Correct user");
    let found = node.holds(&uri(&format!("new:{PASSWORD}")));
    shows(&found.warns("mongo.old_driver_mechanism"), "the user has", "SCRAM-SHA-256");
    // A ; ends an option for the app's driver.
    let found = node.holds(&uri(&format!("circle:{PASSWORD}")).replace("?authSource", "?w=1;authSource"));
    found.warns("mongo.uri_semicolon");
}

#[test]
fn tls_that_only_todays_drivers_turn_on() {
    let node = Node::new("");
    let authority = Authority::new();
    let certificate = authority.issue("mongo", &["IP:127.0.0.1"], 10);
    for (mode, old) in [("requireTLS", "cannot connect"), ("preferTLS", "the traffic is not encrypted")] {
        let mongo = server(with_tls_mode(mode, Version::V4_4, &authority, &certificate));
        let found = node.holds(&uri(&mongo, "circle_ghe"));
        let cause = found.warns("mongo.uri_tls_name");
        shows(&cause, "older Java drivers", old);
        let ssl = uri(&mongo, "circle_ghe").replace("tls=true", "ssl=true").replace('/', "%2F");
        let ssl = ssl.replacen("%2F", "/", 3);
        let found = node.holds(&ssl);
        assert_eq!(found.warned_of(), ["mongo.uri_tls_option", "mongo.version"], "{found:?}");
    }
    let plain = server(Options::new(Version::V4_4));
    let uri = format!("{}&tls=true&tlsInsecure=true", uri(&plain, "circle_ghe"));
    let cause = node.breaks(&uri, Rung::Tls, "tls.refused", Config, "remove");
    shows(&cause, "older Java drivers", "without TLS");
}
