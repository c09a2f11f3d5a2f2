//! `agent check`: every rule for a bundle as a table, and the four places where a bundle can lie.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::harness::agent::{Agent, Finished, World};
use super::harness::certificates::Authority;
use super::harness::{parts, s3};
use super::scene::{REPLICATED, SETTINGS};

const SOON: Duration = Duration::from_secs(30);

const SET: &str = "settings.conf";
const REP: &str = "replicated.conf";
const LIC: &str = "license.rli";
const CUS: &str = "circle-installation-customizations";

/// Addresses at which nothing listens: `check` connects to nobody.
const CUSTOMIZATIONS: &str = "\
# made by the test
export CIRCLE_SECRETS_MONGODB_MAIN_URI='mongodb://circle:pw@db.example.com:27017/circle_ghe'
export CIRCLE_SECRETS_MONGODB_ACTION_LOGS_URI='mongodb://circle:pw@db.example.com:27017/circle_ghe'
export CIRCLE_SECRETS_MONGODB_BUILD_STATE_URI='mongodb://circle:pw@db.example.com:27017/build_state_dev_ghe'
export CIRCLE_SECRETS_MONGODB_CONTAINERS_URI='mongodb://circle:pw@db.example.com:27017/containers_dev_ghe'
export CIRCLE_SECRETS_MONGODB_REMOTE_CONTAINERS_URI='mongodb://circle:pw@db.example.com:27017/remote_containers_dev_ghe'
export CIRCLE_SECRETS_POSTGRES_MAIN_URI='postgres://circle:pw@db.example.com:5432/circle'
";

/// A bundle that only `check` reads.
struct Draft {
    files: BTreeMap<&'static str, Vec<u8>>,
}

impl Draft {
    fn good() -> Self {
        let files = [(SET, SETTINGS), (REP, REPLICATED), (LIC, "a licence\n"), (CUS, CUSTOMIZATIONS)];
        Draft { files: files.map(|(name, text)| (name, text.as_bytes().to_vec())).into() }
    }

    fn text(&self, file: &str) -> &str {
        std::str::from_utf8(&self.files[file]).unwrap()
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Replace(file, from, to) => {
                let text = self.text(file);
                assert!(text.contains(from), "{file} of the good bundle has no {from:?}");
                let changed = text.replacen(from, to, 1);
                self.files.insert(file, changed.into_bytes());
            }
            Change::Add(file, line) if *file == CUS => {
                let changed = format!("{}{line}\n", self.text(file));
                self.files.insert(file, changed.into_bytes());
            }
            // Another key of the object, as its last.
            Change::Add(file, member) => {
                let text = self.text(file).trim_end().trim_end_matches('}').trim_end();
                let changed = format!("{text},\n  {member}\n}}\n");
                self.files.insert(file, changed.into_bytes());
            }
            Change::Drop(file, key) => {
                let text = self.text(file);
                let lines: Vec<&str> = text.lines().filter(|line| !line.contains(key)).collect();
                assert!(lines.len() < text.lines().count(), "{file} of the good bundle has no {key:?}");
                // The last member may have gone, and with it the reason for the comma before it.
                let changed = format!("{}\n", lines.join("\n")).replace(",\n}", "\n}");
                self.files.insert(file, changed.into_bytes());
            }
            Change::Write(file, content) => {
                self.files.insert(file, content.to_vec());
            }
        }
    }

    fn directory(&self) -> TempDir {
        let directory = parts::directory("bundle");
        for (name, content) in &self.files {
            fs::write(directory.path().join(name), content).unwrap();
        }
        directory
    }
}

/// What a row does to the good bundle.
enum Change {
    Replace(&'static str, &'static str, &'static str),
    Add(&'static str, &'static str),
    Drop(&'static str, &'static str),
    Write(&'static str, &'static [u8]),
}
use Change::{Add, Drop, Replace, Write};

/// A change, and every finding that it must lead to: `SEVERITY KIND` and, where it matters, `FILE:LINE:COLUMN`.
type Row = (Change, &'static [&'static str]);

/// Runs the rows and names every one that is not as it should be, not the first alone.
fn assert_rows(rows: &[Row]) {
    let world = World::new();
    let mut wrong = Vec::new();
    for (number, (change, expected)) in rows.iter().enumerate() {
        let mut draft = Draft::good();
        draft.apply(change);
        let directory = draft.directory();
        let run =
            Agent::new(&world).args(["--output", "json", "check"]).arg(directory.path().display()).run(SOON);
        let found = findings(&run);
        let matches = found.len() == expected.len()
            && found.iter().zip(*expected).all(|(found, expected)| found.starts_with(expected));
        let code = i32::from(expected.iter().any(|finding| finding.starts_with("error")));
        if !matches || run.code != Some(code) {
            wrong.push(format!("row {number}: expected {expected:?}, exit {code}; got {found:?}\n{run}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The findings of the JSON output, each with all that a cause must have.
fn findings(run: &Finished) -> Vec<String> {
    let json: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}\n{run}"));
    assert_eq!(json["version"], 1, "{run}");
    let found = json["findings"].as_array().unwrap_or_else(|| panic!("no findings\n{run}"));
    let texts = found.iter().map(|finding| {
        let text = |name: &str| finding[name].as_str().unwrap_or_default();
        assert_eq!(text("class"), "config", "{finding}");
        assert!(text("sentence").contains(char::is_whitespace) && !text("next_step").is_empty(), "{finding}");
        let place = match finding["line"].as_u64() {
            Some(line) => format!(":{line}:{}", finding["column"]),
            None => String::new(),
        };
        format!("{} {} {}{place}", text("severity"), text("kind"), text("file"))
    });
    texts.collect()
}

#[test]
fn a_good_bundle_in_a_directory_is_valid() {
    let directory = Draft::good().directory();
    let run = |output: &str| {
        let world = World::new();
        Agent::new(&world).args(["--output", output, "check"]).arg(directory.path().display()).run(SOON)
    };
    run("text").assert_code(0).assert_says(": valid\n");
    let json = run("json");
    json.assert_code(0);
    assert_eq!(findings(&json), Vec::<String>::new());
    assert!(json.stdout.contains("\"valid\": true"), "{json}");
}

#[test]
fn replicated_conf_keys_have_their_types_and_values() {
    assert_rows(&[
        (Replace(REP, "\"BypassPreflightChecks\": true", "\"BypassPreflightChecks\": false"), &[]),
        (
            Replace(REP, "\"BypassPreflightChecks\": true", "\"BypassPreflightChecks\": \"true\""),
            &["error replicated_conf.type replicated.conf:9:"],
        ),
        (Add(REP, r#""ForceUseImportedSettings": true"#), &[]),
        (Add(REP, r#""ForceUseImportedSettings": 1"#), &["error replicated_conf.type"]),
        (Add(REP, r#""RemoveImportSettingsFrom": false"#), &[]),
        (Add(REP, r#""RemoveImportSettingsFrom": null"#), &["error replicated_conf.type"]),
        (Replace(REP, "\"debug\"", "\"info\""), &[]),
        (Replace(REP, "\"debug\"", "\"warn\""), &[]),
        (Replace(REP, "\"debug\"", "\"error\""), &[]),
        (Replace(REP, "\"debug\"", "\"verbose\""), &["error replicated_conf.value"]),
        (Add(REP, r#""ReleaseSequence": 2439"#), &[]),
        (Add(REP, r#""ReleaseSequence": "2439""#), &["error replicated_conf.type"]),
        (Add(REP, r#""ReleaseSequence": 24.5"#), &["error replicated_conf.value"]),
        (Add(REP, r#""DaemonToken": "daemon-token-of-the-test""#), &[]),
        (Add(REP, r#""DaemonToken": 7"#), &["error replicated_conf.type"]),
        (Add(REP, r#""LicenseBootstrapChannelID": "channel""#), &[]),
        (Add(REP, r#""DockerHubUsername": "u", "DockerHubPassword": "hub-password-of-the-test""#), &[]),
        (
            Add(
                REP,
                r#""SnapshotsStore": "s3", "SnapshotsS3Bucket": "b", "SnapshotsAWSRegion": "us-east-1""#,
            ),
            &[],
        ),
        (Add(REP, r#""SnapshotsOfTheFuture": "x""#), &[]),
        (Replace(REP, "\"/etc/license.rli\"", "\"license.rli\""), &["error replicated_conf.path"]),
        (
            Replace(REP, "\"circleci.example.com\"", "\"https://circleci.example.com\""),
            &["error replicated_conf.value"],
        ),
        (Replace(REP, "\"circleci.example.com\"", "\"\""), &["error replicated_conf.empty"]),
    ]);
}

#[test]
fn replicated_conf_keys_agree_with_each_other_and_with_the_bundle() {
    assert_rows(&[
        (Drop(REP, "DaemonAuthenticationPassword"), &["error replicated_conf.required replicated.conf:2:"]),
        (Replace(REP, "\"console-password-of-the-test\"", "\"\""), &["error replicated_conf.empty"]),
        (Replace(REP, "\"password\",", "\"anonymous\","), &["warning replicated_conf.unused"]),
        (Replace(REP, "\"password\",", "\"pasword\","), &["error replicated_conf.value"]),
        (Replace(REP, "/etc/license.rli", "/etc/licence.rli"), &["error replicated_conf.path"]),
        (Replace(REP, "/etc/settings.conf", "/etc/license.rli"), &["error replicated_conf.path"]),
        (Drop(REP, "LicenseFileLocation"), &["error replicated_conf.required"]),
        (Drop(REP, "ImportSettingsFrom"), &["error replicated_conf.required"]),
        (Drop(REP, "BypassPreflightChecks"), &["warning replicated_conf.required"]),
        (Add(REP, r#""LicenseBootstrapAirgapPackagePath": "/opt/app.airgap""#), &[]),
        (
            Add(REP, r#""LicenseBootstrapAirgapPackagePath": "/opt/app.airgap", "ReleaseSequence": 1"#),
            &["error replicated_conf.excluded"],
        ),
        (Add(REP, r#""Channel": "stable""#), &["warning replicated_conf.channel"]),
        (Add(REP, r#""LogLevl": "info""#), &["warning replicated_conf.unknown_key"]),
        (Add(REP, r#""Frobnicate": "info""#), &["warning replicated_conf.unknown_key"]),
    ]);
}

#[test]
fn replicated_conf_is_what_the_installer_greps() {
    assert_rows(&[
        (Add(REP, r#""HttpProxy": "http://proxy.example.com:3128""#), &[]),
        (Add(REP, r#""HttpProxy" : "http://proxy.example.com:3128""#), &["error replicated_conf.not_plain"]),
        (Add(REP, r#""HttpProxy": "http:\/\/proxy.example.com:3128""#), &["error replicated_conf.not_plain"]),
        (Add(REP, r#""HttpProxy": "proxy.example.com:3128""#), &["error replicated_conf.value"]),
        (Add(REP, r#""LocalAddress": "10.0.1.23""#), &["warning replicated_conf.fixed_address"]),
        (
            Add(REP, r#""LocalAddress" : "10.0.1.23""#),
            &["error replicated_conf.not_plain", "warning replicated_conf.fixed_address"],
        ),
    ]);
}

#[test]
fn replicated_conf_certificates_fit_their_type() {
    let server_path = "\"TlsBootstrapType\": \"server-path\", \"TlsBootstrapCert\": \"/etc/c.pem\", \
                       \"TlsBootstrapKey\": \"/etc/k.pem\"";
    let in_the_ami = ["warning replicated_conf.path"; 2];
    let of_the_pair =
        |what: &str| assert_rows(&[(Replace(REP, "\"TlsBootstrapType\": \"self-signed\"", leak(what)), &[])]);
    assert_rows(&[
        (Drop(REP, "TlsBootstrapType"), &["warning replicated_conf.required"]),
        (Replace(REP, "self-signed", "self-singed"), &["error replicated_conf.value"]),
        (Replace(REP, "self-signed", "server-path"), &["error replicated_conf.required replicated.conf:4:"]),
        (Replace(REP, "self-signed", "key-cert"), &["error replicated_conf.required replicated.conf:4:"]),
        (Replace(REP, "\"TlsBootstrapType\": \"self-signed\"", server_path), leak_rows(&in_the_ami)),
        (
            Replace(
                REP,
                "\"TlsBootstrapType\": \"self-signed\"",
                r#""TlsBootstrapType": "server-path", "TlsBootstrapCert": "c.pem", "TlsBootstrapKey": "/etc/k.pem""#,
            ),
            &["error replicated_conf.tls", "warning replicated_conf.path"],
        ),
        (
            Replace(
                REP,
                "\"TlsBootstrapType\": \"self-signed\"",
                r#""TlsBootstrapType": "key-cert", "TlsBootstrapCert": "no PEM", "TlsBootstrapKey": "nor this""#,
            ),
            &["error replicated_conf.tls"; 2],
        ),
        (Add(REP, r#""TlsBootstrapCert": "/etc/c.pem""#), &["warning replicated_conf.unused"]),
    ]);

    let authority = Authority::new();
    let pair = authority.issue("good", &["DNS:circleci.example.com"], 30);
    let other = authority.issue("other", &["DNS:circleci.example.com"], 30);
    let key_cert = |key: &std::path::Path| {
        let pem = |path: &std::path::Path| serde_json::to_string(&fs::read_to_string(path).unwrap()).unwrap();
        format!(
            "\"TlsBootstrapType\": \"key-cert\", \"TlsBootstrapCert\": {}, \"TlsBootstrapKey\": {}",
            pem(&pair.certificate),
            pem(key)
        )
    };
    of_the_pair(&key_cert(&pair.key));
    let mixed = leak(&key_cert(&other.key));
    assert_rows(&[(
        Replace(REP, "\"TlsBootstrapType\": \"self-signed\"", mixed),
        &["error replicated_conf.tls"],
    )]);
}

/// Rows are written as constants; the few that are made live as long as the test program, too.
fn leak(text: &str) -> &'static str {
    String::leak(text.to_owned())
}

fn leak_rows(rows: &[&'static str]) -> &'static [&'static str] {
    Vec::leak(rows.to_vec())
}

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
        // A password may hold both brackets.
        (Replace(REP, "console-password-of-the-test", "console<7>password"), &[]),
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
            &[
                "error bundle.curly_quote circle-installation-customizations:7:",
                "error postgres.uri circle-installation-customizations:7:",
            ],
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
            &[
                "warning customizations.unknown_rest circle-installation-customizations:8:1",
                "warning customizations.unknown_value circle-installation-customizations:8:1",
            ],
        ),
        (Add(CUS, "date"), &["warning customizations.command"]),
        (Add(CUS, "X=$NOWHERE_SET"), &["warning customizations.unset_variable"]),
        (Add(CUS, "X='open"), &["error customizations.syntax", "warning customizations.unknown_value"]),
        (Add(CUS, "X=a&b=c"), &["error customizations.unquoted_character"]),
        (Add(CUS, "X = y"), &["error customizations.space_around_equals", "warning customizations.command"]),
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
            &[],
        ),
        (Replace(CUS, ":27017/circle_ghe'", ":27017/circle_ghe?replicaset=rs0'"), &[]),
        (
            Replace(CUS, ":27017/circle_ghe'", ":27017/circle_ghe?maxPoolSiz=5'"),
            &["warning mongo.uri_unknown_option"],
        ),
        (Replace(CUS, ":27017/circle_ghe'", ":27017'"), &["error customizations.database_name"]),
    ]);
}

#[test]
fn the_text_says_where_what_and_what_to_do() {
    let mut draft = Draft::good();
    draft.apply(&Replace(CUS, "circle:pw@db.example.com:5432", "circle:p@w@db.example.com:5432"));
    draft.apply(&Add(REP, r#""LogLevl": "info""#));
    let (directory, world) = (draft.directory(), World::new());
    let run = Agent::new(&world).arg("check").arg(directory.path().display()).run(SOON);
    run.assert_code(1)
        .assert_says("circle-installation-customizations:7:61: error: The PostgreSQL URI ")
        .assert_says("unescaped @ in its password")
        .assert_says("→ ")
        .assert_says("%40")
        .assert_says("replicated.conf:10:3: warning: Replicated knows no key \"LogLevl\"")
        .assert_says("Did you mean LogLevel?")
        .assert_says("1 error, 1 warning")
        .assert_silent_about("p@w");
}

#[test]
fn check_reads_s3_and_file_sources_and_what_is_installed() {
    let s3 = s3::moto();
    let bucket = s3.bucket();
    let world = World::new()
        .with_s3(s3.url())
        .with_env("AWS_REGION", "us-east-1")
        .with_env("AWS_ACCESS_KEY_ID", s3::ACCESS_KEY)
        .with_env("AWS_SECRET_ACCESS_KEY", s3::SECRET_KEY);
    let draft = Draft::good();
    for (name, content) in &draft.files {
        s3.put(&bucket, &format!("services-box/{name}"), content);
        // A source by `file://` lies under the root, as every path of the box does.
        world.write(&format!("/srv/bundle/{name}"), content);
        world.write(&format!("/etc/{name}"), content);
    }
    let before = world.files();
    let of_bucket = format!("s3://{bucket}/services-box");
    for source in [Some(of_bucket.as_str()), Some("file:///srv/bundle"), None] {
        Agent::new(&world).arg("check").args(source).run(SOON).assert_code(0).assert_says(": valid\n");
    }

    s3.put(&bucket, "services-box/license.rli", "");
    world.write("/srv/bundle/license.rli", "");
    fs::remove_file(world.path("/etc/license.rli")).unwrap();
    for (source, kind) in [
        (Some(of_bucket.as_str()), "bundle.empty_file"),
        (Some("file:///srv/bundle"), "bundle.empty_file"),
        (None, "bundle.missing_file"),
    ] {
        let run = Agent::new(&world).args(["--output", "json", "check"]).args(source).run(SOON);
        run.assert_code(1);
        assert_eq!(findings(&run), [format!("error {kind} license.rli")]);
    }
    let changed = ["./srv/bundle/license.rli", "./etc/license.rli"].map(std::path::PathBuf::from);
    let rest = |files: BTreeMap<_, _>| -> Vec<_> {
        files.into_iter().filter(|(path, _)| !changed.contains(path)).collect()
    };
    assert_eq!(rest(world.files()), rest(before), "check changes nothing");
}

#[test]
fn a_source_that_lacks_two_files_names_both() {
    let draft = Draft::good();
    let (directory, world) = (draft.directory(), World::new());
    for name in [LIC, SET] {
        fs::remove_file(directory.path().join(name)).unwrap();
    }
    let run = Agent::new(&world).arg("check").arg(directory.path().display()).run(SOON);
    run.assert_code(1)
        .assert_says("source.no_such_file")
        .assert_says(&format!("{}/license.rli", directory.path().display()))
        .assert_says(&format!("{}/settings.conf", directory.path().display()));
}
