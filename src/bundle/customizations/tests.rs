use super::*;
use crate::bundle::tests::{findings, kinds, with, with_edit};
use crate::bundle::validate::validate_without_secrets;
use crate::bundle::{BundleFile, Fetched};
use crate::kind::Kind;

const FILE: BundleFile = BundleFile::Customizations;

/// The good file with lines added at its end.
fn adding(lines: &str) -> Fetched {
    let text = String::from_utf8(crate::bundle::tests::good().files[&FILE].clone()).unwrap();
    with(FILE, format!("{text}{lines}"))
}

/// The findings after the PostgreSQL address got another text, quotes included, where there were any.
fn postgres(value: &str) -> Vec<String> {
    let old = "'postgres://circle:good-postgres-password@postgres.example.com:5432/circle'";
    kinds(&with_edit(FILE, old, value))
}

#[test]
fn every_rule_good_and_bad() {
    for (lines, expected) in [
        ("# only a comment", &[][..]),
        ("export FOO='bar baz'; BAR=\"$FOO\"", &[]),
        ("FOO='never closed", &["error customizations.syntax"]),
        ("FOO=$UNHEARD_OF", &["warning customizations.unset_variable"]),
        ("FOO = bar", &["error customizations.space_around_equals"]),
        ("FOO= bar", &["error customizations.space_around_equals"]),
        ("FOO=https://example.com/?a=b&c=d", &["error customizations.unquoted_character"]),
        ("FOO=a<b", &["error customizations.unquoted_character"]),
        ("curl -s http://example.com", &["warning customizations.command"]),
        ("FOO=$(hostname)", &[]),
        (
            "export CIRCLE_SECRETS_MONGODB_REMOTE_CONTAINERS_URI=$(cat /x)",
            &["warning customizations.unknown_value"],
        ),
        (
            "export CIRCLE_SECRETS_MONGODB_REMOTE_CONTAINERS_URI=",
            &["warning customizations.missing_database"],
        ),
        (
            "CIRCLE_SECRETS_MONGODB_REMOTE_CONTAINERS_URI=mongodb://h/remote_containers_dev_ghe",
            &["warning customizations.not_exported"],
        ),
        (
            "export CIRCLE_SECRETS_MONGODB_REMOTE_CONTAINERS_URI=mongodb://h/other",
            &["warning customizations.database_name"],
        ),
        (
            "export CIRCLE_SECRETS_MONGODB_REMOTE_CONTAINERS_URI=mongodb://h",
            &["error customizations.database_name"],
        ),
        ("export CIRCLE_SECRETS_MONGODB_REMOTE_CONTAINERS_URI=mongo://h/x", &["error mongo.uri"]),
        ("OTHER=mongodb://user:p@ss:wo/rd@host/db", &["error mongo.uri"]),
        ("OTHER='postgres://user@host:notaport/db'", &["error postgres.uri"]),
    ] {
        let found = kinds(&adding(lines));
        assert_eq!(found, expected, "{lines}");
    }
}

#[test]
fn a_barrier_makes_every_address_unknown_and_says_so_once_each() {
    for lines in ["if true; then", "eval x", "f() { x; }", "source ./more"] {
        assert_eq!(kinds(&adding(lines)), ["warning customizations.unknown_rest"]);
        let found = &validate_without_secrets(&adding(lines)).findings[0].cause;
        let also = found.evidence.iter().find(|evidence| evidence.name == "also affects").unwrap();
        assert!(
            also.value.contains("MONGODB_MAIN_URI") && also.value.contains("POSTGRES_MAIN_URI"),
            "{also:?}"
        );
    }
    let bundle = validate_without_secrets(&adding("source ./more")).bundle.unwrap();
    assert!(bundle.databases.iter().all(|database| {
        database.address == Address::Unknown { line: 10, what: "the command `source`".to_owned() }
    }));
    // The one that only newer releases know may have been set by it, too.
    assert_eq!(bundle.databases.len(), 6);
}

#[test]
fn the_classic_mistakes_in_a_postgres_address() {
    assert_eq!(postgres("'postgres://circle:good@h:5432/circle'"), [""; 0]);
    assert_eq!(postgres("'postgresql://circle:good@h/circle?sslmode=require'"), [""; 0]);
    for value in [
        "'mongodb://circle:good@h:27017/circle'",
        "'postgres://circle:go@od@h:5432/circle'",
        "'postgres://circle:go/od@h:5432/circle'",
        "'postgres:/circle:good@h:5432/circle'",
        "'h:5432/circle'",
    ] {
        assert_eq!(postgres(value), ["error postgres.uri"], "{value}");
    }
    assert_eq!(postgres("'postgres://circle:good@h:5432/other'"), ["warning customizations.database_name"]);
    assert_eq!(postgres("''"), ["error customizations.missing_database"]);
}

#[test]
fn what_must_be_there() {
    for (variable, expected) in [
        ("MONGODB_MAIN", "error customizations.missing_database"),
        ("POSTGRES_MAIN", "error customizations.missing_database"),
        ("MONGODB_ACTION_LOGS", "warning customizations.missing_database"),
        ("MONGODB_BUILD_STATE", "warning customizations.missing_database"),
        ("MONGODB_CONTAINERS", "warning customizations.missing_database"),
    ] {
        let fetched = with_edit(FILE, &format!("CIRCLE_SECRETS_{variable}_URI"), "SOMETHING_ELSE");
        assert_eq!(kinds(&fetched), [expected], "{variable}");
    }
}

#[test]
fn a_mistake_in_a_base_address_is_named_once_where_it_stands() {
    let fetched = with_edit(FILE, "good-mongo-password@mongo", "good@mongo-password@mongo");
    assert_eq!(findings(&fetched), ["circle-installation-customizations:2:38 error mongo.uri"]);
    let fetched = with_edit(FILE, "export CIRCLE_SECRETS_POSTGRES", "CIRCLE_SECRETS_POSTGRES");
    assert_eq!(
        findings(&fetched),
        ["circle-installation-customizations:9:1 warning customizations.not_exported"]
    );
    assert_eq!(kinds(&with_edit(FILE, "# Mongo DB", "set -a")), [""; 0]);
}

#[test]
fn a_misspelt_variable_is_recognised() {
    let fetched = with_edit(FILE, "\"$MONGO_BASE_URI/containers", "\"$MONGO_BSAE_URI/containers");
    let findings = validate_without_secrets(&fetched).findings;
    let unset =
        findings.iter().find(|finding| finding.cause.kind == Kind::CustomizationsUnsetVariable).unwrap();
    assert!(unset.is_error() && unset.cause.next_step.contains("${MONGO_BASE_URI}"), "{unset}");
    assert_eq!(findings.len(), 1, "{findings:?}");
}

#[test]
fn what_is_doubtful_about_a_base_address_is_said_once() {
    let fetched = with_edit(FILE, "@mongo.example.com:27017", "@a.example.com,b.example.com,c.example.com");
    let found = validate_without_secrets(&fetched).findings;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].cause.kind, Kind::MongoUriNoReplicaSet);
    let also = found[0].cause.evidence.iter().find(|evidence| evidence.name == "also affects").unwrap();
    assert_eq!(also.value.split(", ").count(), 3, "{also:?}");
    // The options that the base lacks may come with the rest.
    let text = String::from_utf8(fetched.files[&FILE].clone()).unwrap();
    let whole = text.replace("authSource=admin", "authSource=admin&replicaSet=rs0");
    assert_eq!(findings(&with(FILE, whole)), [""; 0]);
}
