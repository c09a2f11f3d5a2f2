//! Every rule for the other files of a bundle, and for all of them, good and bad.

use super::check::Change::{Add, Drop, Replace, Write};
use super::check::{CUS, Draft, LIC, REP, Row, SET, assert_rows};
use super::check_replicated::leak;

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
fn customizations_are_read_as_bash_reads_them() {
    const MAIN: &str = "'mongodb://circle:pw@db.example.com:27017/circle_ghe'";
    assert_rows(&[
        // The subset, each way to write the same address.
        (Replace(CUS, MAIN, "\"mongodb://circle:pw@db.example.com:27017/circle_ghe\""), &[]),
        (Replace(CUS, MAIN, "mongodb://circle:pw@db.example.com:27017/circle_ghe # and a comment"), &[]),
        (Replace(CUS, MAIN, "'mongodb://circle:'\"pw@\"db.example.com:27017/circle_ghe"), &[]),
        (Replace(CUS, MAIN, "mongodb://circle:pw@\\\ndb.example.com:27017/circle_ghe"), &[]),
        (
            Replace(
                CUS,
                "# made by the test\n",
                "export HOST=db.example.com\nBASE=mongodb://circle:pw@${HOST}\n",
            ),
            &[],
        ),
        (
            Replace(CUS, MAIN, "mongodb://circle:pw@$HOSTNAME:27017/circle_ghe"),
            &["warning customizations.unknown_value"],
        ),
        // A variable's content counts, and is named where it stands: the second @ comes by way of it.
        (
            Replace(
                CUS,
                "# made by the test\nexport CIRCLE_SECRETS_MONGODB_MAIN_URI='mongodb://circle:pw@",
                "PASSWORD='p@w'\nexport CIRCLE_SECRETS_MONGODB_MAIN_URI=\"mongodb://circle:${PASSWORD}@\"'",
            ),
            &["error mongo.uri circle-installation-customizations:1:12"],
        ),
        // Outside the subset: a warning that the value cannot be known, never a guess and never a shell.
        (
            Replace(CUS, MAIN, "$(cat /etc/mongo-uri)"),
            &["warning customizations.unknown_value circle-installation-customizations:2:"],
        ),
        (Replace(CUS, MAIN, "\"`cat /etc/mongo-uri`\""), &["warning customizations.unknown_value"]),
        (
            Replace(CUS, MAIN, "mongodb://circle:pw@db:$((27016 + 1))/circle_ghe"),
            &["warning customizations.unknown_value"],
        ),
        (
            Add(CUS, "if true; then X=1; fi"),
            &["warning customizations.unknown_rest circle-installation-customizations:8:1"],
        ),
        (Add(CUS, "date"), &["warning customizations.command"]),
        (Add(CUS, "X=$NOWHERE_SET"), &["warning customizations.unset_variable"]),
        (Add(CUS, "X='open"), &["error customizations.syntax circle-installation-customizations:8:3"]),
        (Add(CUS, "X=a&b=c"), &["error customizations.unquoted_character"]),
        (Add(CUS, "X = y"), &["error customizations.space_around_equals"]),
    ]);
}

/// What bash certainly does with a line is no doubt but an error, and one mistake is one finding.
#[test]
fn what_bash_certainly_does_is_an_error_and_said_once() {
    const MAIN: &str =
        "export CIRCLE_SECRETS_MONGODB_MAIN_URI='mongodb://circle:pw@db.example.com:27017/circle_ghe'";
    const BASE: &str = "# made by the test\n";
    let whole: &[(&'static str, &'static [&'static str])] = &[
        // The value is cut off.
        (
            "export CIRCLE_SECRETS_MONGODB_MAIN_URI=mongodb://circle:pw@db:27017/circle_ghe?ssl=true&authSource=admin&w=1",
            &["error customizations.unquoted_character circle-installation-customizations:2:88"],
        ),
        (
            "CIRCLE_SECRETS_MONGODB_MAIN_URI=mongodb://circle:p|w@db:27017/circle_ghe",
            &["error customizations.unquoted_character"],
        ),
        (
            "export CIRCLE_SECRETS_MONGODB_MAIN_URI=mongodb://circle:p<w@db:27017/circle_ghe",
            &["error customizations.unquoted_character"],
        ),
        (
            "export CIRCLE_SECRETS_MONGODB_MAIN_URI=mongodb://circle:p>w@db:27017/circle_ghe",
            &["error customizations.unquoted_character"],
        ),
        (
            "export CIRCLE_SECRETS_MONGODB_MAIN_URI=mongodb://circle:pw@db:27017/circle_ghe?ssl=true;w=1",
            &["error customizations.unquoted_character"],
        ),
        (
            "export CIRCLE_SECRETS_MONGODB_MAIN_URI=mongodb://circle:p w@db:27017/circle_ghe",
            &["error customizations.unquoted_character"],
        ),
        (
            "CIRCLE_SECRETS_MONGODB_MAIN_URI=mongodb://circle:p w@db:27017/circle_ghe",
            &["error customizations.unquoted_character"],
        ),
        (
            "export CIRCLE_SECRETS_MONGODB_MAIN_URI=mongodb://circle:p{a,b}w@db:27017/circle_ghe",
            &["error customizations.unquoted_character"],
        ),
        // The variable is not set.
        (
            "CIRCLE_SECRETS_MONGODB_MAIN_URI = 'mongodb://circle:pw@db:27017/circle_ghe'",
            &["error customizations.space_around_equals"],
        ),
        (
            "export CIRCLE_SECRETS_MONGODB_MAIN_URI = 'mongodb://circle:pw@db:27017/circle_ghe'",
            &["error customizations.space_around_equals"],
        ),
        (
            "export CIRCLE_SECRETS_MONGODB_MAIN_URI= 'mongodb://circle:pw@db:27017/circle_ghe'",
            &["error customizations.space_around_equals"],
        ),
        (
            "export CIRCLE_SECRETS_MONGODB_MAIN_URI =mongodb://circle:pw@db:27017/circle_ghe?w=1",
            &["error customizations.space_around_equals"],
        ),
        (
            "set CIRCLE_SECRETS_MONGODB_MAIN_URI='mongodb://circle:pw@db:27017/circle_ghe'",
            &["error customizations.not_assigned"],
        ),
        (
            "$CIRCLE_SECRETS_MONGODB_MAIN_URI='mongodb://circle:pw@db:27017/circle_ghe'",
            &["error customizations.not_assigned"],
        ),
        (
            "CIRCLE_SECRETS_MONGODB_MAIN_URI: mongodb://circle:pw@db:27017/circle_ghe",
            &["error customizations.not_assigned"],
        ),
        (
            "setenv CIRCLE_SECRETS_MONGODB_MAIN_URI 'mongodb://circle:pw@db:27017/circle_ghe'",
            &["error customizations.not_assigned"],
        ),
        // It holds something else.
        (
            "export CIRCLE_SECRETS_MONGODB_MAIN_URI=\"mongodb://circle:p$$w@db:27017/circle_ghe\"",
            &["error customizations.process_id"],
        ),
        (
            "export CIRCLE_SECRETS_MONGODB_MAIN_URI=mongodb://$${USER}:pw@db:27017/circle_ghe",
            &["error customizations.process_id"],
        ),
        (
            "export CIRCLE_SECRETS_MONGODB_MAIN_URI=\"mongodb://circle:p$1w@db:27017/circle_ghe\"",
            &["error customizations.special_parameter"],
        ),
        (
            "export CIRCLE_SECRETS_MONGODB_MAIN_URI=`mongodb://circle:pw@db:27017/circle_ghe`",
            &["error customizations.runs_address"],
        ),
        (
            "export CIRCLE_SECRETS_MONGODB_MAIN_URI=\"$(mongodb://circle:pw@db:27017/circle_ghe)\"",
            &["error customizations.runs_address"],
        ),
        (
            "export CIRCLE_SECRETS_MONGODB_MAIN_URI=\"mongodb://circle:${mongo_password}@db:27017/circle_ghe\"",
            &["error customizations.unset_variable"],
        ),
        (
            "export CIRCLE_SECRETS_MONGODB_MAIN_URI='mongodb://circle:${mongo_password}@db:27017/circle_ghe'",
            &["error customizations.unexpanded_variable"],
        ),
        (
            "export CIRCLE_SECRETS_MONGODB_MAIN_URI=“mongodb://circle:pw@db:27017/circle_ghe?a=b&c=d”",
            &["error bundle.curly_quote"],
        ),
        (
            "export\u{a0}CIRCLE_SECRETS_MONGODB_MAIN_URI='mongodb://circle:pw@db:27017/circle_ghe'",
            &["error bundle.invisible_character"],
        ),
        // A # is part of a word that has begun, and then the URI is wrong.
        (
            "export CIRCLE_SECRETS_MONGODB_MAIN_URI=mongodb://circle:p#w@db:27017/circle_ghe",
            &["error mongo.uri"],
        ),
    ];
    let rows: Vec<Row> = whole.iter().map(|(line, expected)| (Replace(CUS, MAIN, line), *expected)).collect();
    assert_rows(&rows);
    // Through a variable of the file, which four addresses are made of.
    let uri = |base: &str| {
        leak(&format!(
            "# made by the test\n{base}\nexport CIRCLE_SECRETS_MONGODB_REMOTE_CONTAINERS_URI=\"$BASE/remote_containers_dev_ghe\"\nexport CIRCLE_SECRETS_MONGODB_CONTAINERS_URI=\"$BASE/containers_dev_ghe\"\n"
        ))
    };
    let base = |base: &str, expected: &'static [&'static str]| -> [Row; 1] {
        [(Replace(CUS, BASE, uri(base)), expected)]
    };
    // The lines of the good bundle come after, and set them again: take those away.
    let drop = |row: [Row; 1]| {
        let [(change, expected)] = row;
        let mut draft = Draft::good();
        draft.apply(&Drop(CUS, "MONGODB_CONTAINERS"));
        draft.apply(&Drop(CUS, "REMOTE_CONTAINERS"));
        draft.apply(&change);
        (Write(CUS, Vec::leak(draft.files[CUS].clone())), expected)
    };
    assert_rows(&[
        drop(base("BASE=mongodb://circle:pw@db:27017", &[])),
        drop(base(
            "BSAE=mongodb://circle:pw@db:27017",
            &["error customizations.unset_variable circle-installation-customizations:3:"],
        )),
        drop(base(
            "BASE=mongodb://circle:p&w@db:27017",
            &["error customizations.unquoted_character circle-installation-customizations:2:"],
        )),
        drop(base(
            "BASE=mongodb://circle:p$$w@db:27017",
            &["error customizations.process_id circle-installation-customizations:2:"],
        )),
        drop(base(
            "BASE= mongodb://circle:pw@db:27017",
            &["error customizations.space_around_equals circle-installation-customizations:2:"],
        )),
        drop(base(
            "BASE=mongodb://circle:<password>@<host>:27017",
            &[
                "error bundle.placeholder circle-installation-customizations:2:",
                "error bundle.placeholder circle-installation-customizations:2:",
            ],
        )),
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
