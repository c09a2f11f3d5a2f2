//! Every rule for the other files of a bundle, and for all of them, good and bad.

use super::check::Change::{Add, Drop, Replace, Write};
use super::check::{CUS, LIC, REP, SET, assert_rows};

#[test]
fn settings_conf_holds_strings_and_the_settings_that_are_needed() {
    assert_rows(&[
        (
            Replace(SET, r#"{ "value": "1" }"#, r#"{ "value": 1 }"#),
            &["error settings_conf.value_not_string settings.conf:3:"],
        ),
        (Replace(SET, r#"{ "value": "1" }"#, r#""1""#), &["error settings_conf.not_object"]),
        (Replace(SET, r#"{ "value": "1" }"#, r#"{ "value": "2" }"#), &["error settings_conf.value"]),
        (
            Replace(SET, r#"{ "value": "1" }"#, r#"{ "valeu": "1" }"#),
            &["warning settings_conf.empty", "warning settings_conf.unknown_member"],
        ),
        (
            Add(
                SET,
                r#""ca": { "value": "x", "data": "y", "multi_value": ["a"], "multi_data": {"a": "b"} }"#,
            ),
            &[],
        ),
        (Add(SET, r#""ca": { "data": 7 }"#), &["error settings_conf.value_not_string"]),
        (Add(SET, r#""some_setting_of_another_release": { "value": "x" }"#), &[]),
        (Drop(SET, "license_agreement"), &["error settings_conf.license_agreement"]),
        (
            Replace(SET, "license_agreement_agree", "license_agreement_disagree"),
            &["error settings_conf.license_agreement"],
        ),
        (Drop(SET, "hostname"), &["error settings_conf.missing"]),
        (Replace(SET, "circleci.example.com", ""), &["error settings_conf.empty"]),
        (
            Replace(SET, "circleci.example.com", "https://circleci.example.com"),
            &["error settings_conf.value"],
        ),
        (Drop(SET, "secret_passphrase"), &["error settings_conf.missing"]),
        (Drop(SET, "ghe_client_id"), &["error settings_conf.missing"]),
        (Drop(SET, "ghe_client_secret"), &["error settings_conf.missing"]),
        (
            Replace(SET, "client-secret-of-the-test", "client-secret-of-the-test "),
            &["warning settings_conf.value"],
        ),
        (Drop(SET, "ghe_type"), &["warning settings_conf.missing"]),
        (Replace(SET, "github_type_public", "github_type_publik"), &["error settings_conf.value"]),
        (Replace(SET, "github_type_public", "github_type_enterprise"), &["error settings_conf.missing"]),
        (
            Replace(
                SET,
                r#""github_type_public" }"#,
                r#""github_type_enterprise" }, "ghe_domain": { "value": "ghe.example.com" }"#,
            ),
            &[],
        ),
        (
            Replace(
                SET,
                r#""github_type_public" }"#,
                r#""github_type_enterprise" }, "ghe_domain": { "value": "ghe.example.com/x" }"#,
            ),
            &["error settings_conf.value"],
        ),
    ]);
    assert_rows(&[
        (
            Replace(SET, "\"storage_backend_s3\"", "\"storage_backend_none\""),
            &["warning settings_conf.value"],
        ),
        (Drop(SET, "\"s3_bucket\""), &["error settings_conf.missing"]),
        (Replace(SET, "circleci-storage", "s3://circleci-storage"), &["error settings_conf.value"]),
        (Drop(SET, "aws_region"), &["error settings_conf.missing"]),
        (
            Replace(
                SET,
                r#""aws_region": { "value": "us-east-1" }"#,
                r#""aws_region": { "value": "Virginia" }"#,
            ),
            &["error settings_conf.value", "warning settings_conf.region"],
        ),
        (Drop(SET, "sqs_queue_url"), &["warning settings_conf.missing"]),
        (
            Replace(SET, "https://sqs.us-east-1.amazonaws.com/123456789012/circleci", "circleci"),
            &["error settings_conf.value"],
        ),
        (Replace(SET, "sqs.us-east-1", "sqs.eu-west-1"), &["warning settings_conf.region"]),
        (Drop(SET, "allow_cluster"), &["warning settings_conf.missing"]),
    ]);
}

#[test]
fn json_must_be_one_object_and_each_slip_is_named_where_it_is() {
    assert_rows(&[
        (Write(SET, b"[]\n"), &["error bundle.json_not_object"]),
        (Write(REP, b"\"x\"\n"), &["error bundle.json_not_object"]),
        (Replace(REP, "true\n}", "true,\n}"), &["error bundle.json_trailing_comma replicated.conf:9:"]),
        (Replace(REP, "\"debug\",", "\"debug\""), &["error bundle.json_missing_comma replicated.conf:6:"]),
        (
            Replace(REP, "\"LogLevel\":", "\"LogLevel\""),
            &["error bundle.json_missing_colon replicated.conf:6:"],
        ),
        (Replace(REP, "{\n", "{\n  // a comment\n"), &["error bundle.json_comment replicated.conf:2:3"]),
        (Replace(REP, "\"debug\"", "'debug'"), &["error bundle.json_single_quotes replicated.conf:6:"]),
        (Replace(REP, "\"LogLevel\"", "LogLevel"), &["error bundle.json_bare_word replicated.conf:6:3"]),
        (Replace(REP, "true", "True"), &["error bundle.json_bare_word", "error replicated_conf.type"]),
        (Add(REP, "\"LogLevel\": \"info\""), &["error bundle.json_duplicate_key"]),
        (Replace(REP, "true\n}", "true\n"), &["error bundle.json_truncated"]),
        (Replace(REP, "true\n}", "true\n}\n}"), &["error bundle.json_syntax"]),
        (
            Replace(REP, "console-password", "console\\password"),
            &["error bundle.json_escape replicated.conf:3:"],
        ),
    ]);
}

#[test]
fn the_licence_is_no_page_and_not_empty() {
    assert_rows(&[
        (Write(LIC, b"\x00\x01binary is fine\xff"), &[]),
        (Write(LIC, b""), &["error bundle.empty_file license.rli"]),
        (Write(LIC, b" \n\n"), &["error bundle.empty_file"]),
        (Write(LIC, b"<!DOCTYPE html><html><title>Sign in</title></html>"), &["error bundle.markup_page"]),
        (
            Write(LIC, b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>"),
            &["error bundle.markup_page"],
        ),
        (Write(SET, b"<html>login</html>"), &["error bundle.markup_page settings.conf"]),
    ]);
}

#[test]
fn nothing_of_the_document_it_was_pasted_from_is_left() {
    assert_rows(&[
        (
            Replace(REP, "console-password-of-the-test", "<password>"),
            &["error bundle.placeholder replicated.conf:3:"],
        ),
        (Replace(SET, "circleci.example.com", "<hostname>"), &["error bundle.placeholder settings.conf:2:"]),
        (
            Replace(CUS, "circle:pw@", "circle:<password>@"),
            &["error bundle.placeholder circle-installation-customizations:2:"],
        ),
        (
            Replace(SET, "client-secret-of-the-test", "${ghe_client_secret}"),
            &["error bundle.placeholder settings.conf:7:"],
        ),
        (
            Replace(SET, "circleci.example.com", "{{ .Values.hostname }}"),
            &["error bundle.placeholder settings.conf:2:"],
        ),
        (
            Replace(SET, "circleci-storage", "circleci-$${var.environment}"),
            &["error bundle.placeholder settings.conf:"],
        ),
        (
            Replace(REP, "console-password-of-the-test", "<%= password %>"),
            &["error bundle.placeholder replicated.conf:3:"],
        ),
        (Replace(REP, "/etc/license.rli", "${license}"), &["error bundle.placeholder replicated.conf:"]),
        // A password may have any of the signs, and Replicated fills in its own templates.
        (Replace(REP, "console-password-of-the-test", "a${}b{{1}}c$x"), &[]),
        (Add(SET, r#""motd": { "value": "{{repl ConsoleSetting \"tls.hostname\"}}" }"#), &[]),
        // A password may hold both brackets.
        (Replace(REP, "console-password-of-the-test", "console<7>password"), &[]),
        (Replace(CUS, "circle:pw@db.example.com:5432", "circle:a<bc>d@db.example.com:5432"), &[]),
        (
            Replace(CUS, "circle:pw@db.example.com:5432", "circle:<password>@db.example.com:5432"),
            &["error bundle.placeholder circle-installation-customizations:7:"],
        ),
        (
            Replace(REP, "\"debug\"", "\u{201c}debug\u{201d}"),
            &["error bundle.curly_quote replicated.conf:6:15"],
        ),
        (
            Replace(
                CUS,
                "'postgres://circle:pw@db.example.com:5432/circle'",
                "\u{2018}postgres://circle:pw@db.example.com:5432/circle\u{2019}",
            ),
            &["error bundle.curly_quote circle-installation-customizations:7:"],
        ),
        (Add(CUS, "# “a comment” with <words>"), &[]),
        (
            Replace(REP, "  \"LogLevel\"", "\u{a0}\u{a0}\"LogLevel\""),
            &[
                "error bundle.json_syntax replicated.conf:6:1",
                "warning bundle.invisible_character replicated.conf:6:1",
            ],
        ),
        (
            Replace(REP, "console-password", "console\u{200b}password"),
            &["warning bundle.invisible_character replicated.conf:3:"],
        ),
        (Write(LIC, b"\xef\xbb\xbfa licence"), &[]),
        (Replace(REP, "{\n", "\u{feff}{\n"), &["error bundle.byte_order_mark replicated.conf:1:1"]),
        (Write(REP, b"\xff\xfe{\x00}\x00"), &["error bundle.utf16"]),
        (Write(REP, b"{\"LogLevel\": \"\xe9\"}"), &["error bundle.not_utf8"]),
        (Replace(REP, "{\n", "{\r\n"), &["warning bundle.crlf replicated.conf:1:"]),
        (Replace(CUS, "test\n", "test\r\n"), &["error bundle.crlf circle-installation-customizations:1:"]),
    ]);
}

#[test]
fn every_database_address_is_there_and_well_formed() {
    assert_rows(&[
        (Drop(CUS, "MONGODB_MAIN_URI"), &["error customizations.missing_database"]),
        (Drop(CUS, "POSTGRES_MAIN_URI"), &["error customizations.missing_database"]),
        (Drop(CUS, "ACTION_LOGS"), &["warning customizations.missing_database"]),
        (Drop(CUS, "BUILD_STATE"), &["warning customizations.missing_database"]),
        (Drop(CUS, "MONGODB_CONTAINERS_URI"), &["warning customizations.missing_database"]),
        (Drop(CUS, "REMOTE_CONTAINERS"), &[]),
        (
            Replace(CUS, "export CIRCLE_SECRETS_POSTGRES", "CIRCLE_SECRETS_POSTGRES"),
            &["warning customizations.not_exported"],
        ),
        // The classics, with the very column.
        (
            Replace(CUS, "circle:pw@db.example.com:5432", "circle:p@w@db.example.com:5432"),
            &["error postgres.uri circle-installation-customizations:7:61"],
        ),
        (
            Replace(CUS, "circle:pw@db.example.com:5432", "circle:p/w@db.example.com:5432"),
            &["error postgres.uri circle-installation-customizations:7:61"],
        ),
        (
            Replace(CUS, "circle:pw@db.example.com:5432", "circle:p:w@db.example.com:5432"),
            &["error postgres.uri circle-installation-customizations:7:61"],
        ),
        (Replace(CUS, "circle:pw@db.example.com:5432", "circle:p%40%2F%3Aw@db.example.com:5432"), &[]),
        (Replace(CUS, ":5432", ":543210"), &["error postgres.uri"]),
        (Replace(CUS, "5432/circle'", "5432/circle?sslmode=verify'"), &["error postgres.uri"]),
        (Replace(CUS, "5432/circle'", "5432/circle?sslmode=verify-full'"), &[]),
        (Replace(CUS, "db.example.com:5432", "[2001:db8::1]:5432,db2.example.com"), &[]),
        (Replace(CUS, "postgres://", "mongodb://"), &["error postgres.uri"]),
        (Replace(CUS, ":5432/circle'", ":5432/other'"), &["warning customizations.database_name"]),
        (
            Replace(
                CUS,
                "circle:pw@db.example.com:27017/circle_ghe",
                "circle:p@w@db.example.com:27017/circle_ghe",
            ),
            &["error mongo.uri circle-installation-customizations:2:"],
        ),
        (
            Replace(
                CUS,
                "db.example.com:27017/circle_ghe",
                "a.example.com,b.example.com:27018/circle_ghe?replicaSet=rs0&ssl=true",
            ),
            &[],
        ),
        (
            Replace(
                CUS,
                "mongodb://circle:pw@db.example.com:27017/circle_ghe",
                "mongodb+srv://circle:pw@db.example.com/circle_ghe",
            ),
            &["warning mongo.uri_srv"],
        ),
        (Replace(CUS, ":27017/circle_ghe'", ":27017/circle_ghe?replicaset=rs0'"), &[]),
        (
            Replace(CUS, ":27017/circle_ghe'", ":27017/circle_ghe?maxPoolSiz=5'"),
            &["warning mongo.uri_unknown_option"],
        ),
        (Replace(CUS, ":27017/circle_ghe'", ":27017'"), &["error customizations.database_name"]),
    ]);
}
