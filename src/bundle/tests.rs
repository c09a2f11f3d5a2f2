mod hostile;

use crate::kind::Kind;
use std::path::Path;

use super::validate::validate_without_secrets;
use super::*;
use crate::secret::Secrets;

/// A bundle without a finding, to be broken in one place.
pub(super) fn good() -> Fetched {
    let mut fetched = Fetched::default();
    let files: [(BundleFile, &str); 4] = [
        (
            BundleFile::Settings,
            r#"{
 "hostname": {"value": "circleci.example.com"},
 "allow_cluster": {"value": "1"},
 "secret_passphrase": {"value": "good-passphrase"},
 "ghe_type": {"value": "github_type_public"},
 "ghe_client_id": {"value": "0123456789abcdef"},
 "ghe_client_secret": {"value": "good-client-secret"},
 "storage_backend": {"value": "storage_backend_s3"},
 "aws_region": {"value": "us-east-1"},
 "s3_bucket": {"value": "a-bucket"},
 "sqs_queue_url": {"value": "https://sqs.us-east-1.amazonaws.com/123456789012/queue"},
 "license_agreement": {"value": "license_agreement_agree"}
}
"#,
        ),
        (
            BundleFile::Replicated,
            r#"{
  "DaemonAuthenticationType": "password",
  "DaemonAuthenticationPassword": "good-console-password",
  "TlsBootstrapType": "self-signed",
  "TlsBootstrapHostname": "circleci.example.com",
  "LogLevel": "debug",
  "ReleaseSequence": 2439,
  "LicenseFileLocation": "/etc/license.rli",
  "ImportSettingsFrom": "/etc/settings.conf",
  "BypassPreflightChecks": true
}
"#,
        ),
        (BundleFile::License, "bGljZW5jZQ=="),
        (
            BundleFile::Customizations,
            r#"# Mongo DB
MONGO_BASE_URI='mongodb://circle:good-mongo-password@mongo.example.com:27017'
export CIRCLE_SECRETS_MONGODB_MAIN_URI="$MONGO_BASE_URI/circle_ghe?authSource=admin"
export CIRCLE_SECRETS_MONGODB_ACTION_LOGS_URI="$MONGO_BASE_URI/circle_ghe?authSource=admin"
export CIRCLE_SECRETS_MONGODB_BUILD_STATE_URI="$MONGO_BASE_URI/build_state_dev_ghe?authSource=admin"
export CIRCLE_SECRETS_MONGODB_CONTAINERS_URI="$MONGO_BASE_URI/containers_dev_ghe?authSource=admin"

# Postgres DB
export CIRCLE_SECRETS_POSTGRES_MAIN_URI='postgres://circle:good-postgres-password@postgres.example.com:5432/circle'
"#,
        ),
    ];
    for (file, text) in files {
        fetched.files.insert(file, text.as_bytes().to_vec());
    }
    fetched
}

/// The good bundle with one file replaced.
pub(super) fn with(file: BundleFile, content: impl Into<Vec<u8>>) -> Fetched {
    let mut fetched = good();
    fetched.files.insert(file, content.into());
    fetched
}

/// The good bundle with a part of one file replaced.
pub(super) fn with_edit(file: BundleFile, from: &str, to: &str) -> Fetched {
    let text = String::from_utf8(good().files[&file].clone()).unwrap();
    assert!(text.contains(from), "{from:?} is not in {file}");
    with(file, text.replace(from, to))
}

/// Findings as `file:line:column severity kind`, or without the place.
pub(super) fn findings(fetched: &Fetched) -> Vec<String> {
    let validation = validate_without_secrets(fetched);
    assert_eq!(validation.bundle.is_some(), !validation.findings.iter().any(Finding::is_error));
    for finding in &validation.findings {
        assert!(finding.cause.sentence.ends_with('.'), "{finding}");
        assert!(!finding.cause.next_step.is_empty(), "{finding}");
        assert_eq!(finding.cause.class, crate::cause::Class::Config);
    }
    let text = |finding: &Finding| {
        let place = finding.position.map(|p| format!(":{}:{}", p.line, p.column)).unwrap_or_default();
        let severity = if finding.is_error() { "error" } else { "warning" };
        format!("{}{place} {severity} {}", finding.file, finding.cause.kind)
    };
    validation.findings.iter().map(text).collect()
}

/// The kinds that an edit of the good bundle brings, without their places.
pub(super) fn kinds(fetched: &Fetched) -> Vec<String> {
    let place = |line: String| line.split_once(' ').map(|(_, rest)| rest.to_owned()).unwrap_or(line);
    findings(fetched).into_iter().map(place).collect()
}

#[test]
fn a_good_bundle_has_no_finding_and_is_placed_as_it_came() {
    let validation = validate(&good(), &[], &Secrets::default());
    assert_eq!(findings(&good()), [""; 0]);
    let bundle = validation.bundle.unwrap();
    let paths: Vec<_> = bundle.placements().map(|placement| placement.path.to_owned()).collect();
    assert_eq!(paths, good().installed_paths().collect::<Vec<_>>());
    for placement in bundle.placements() {
        assert_eq!(placement.mode, None);
        assert!(good().files.values().any(|content| content == placement.content));
    }
    assert!(!bundle.replicated.removes_settings);
    assert_eq!(bundle.databases.len(), 5);
    assert!(bundle.databases.iter().all(|database| matches!(database.address, Address::Known(_))));
}

#[test]
fn every_placeholder_of_the_published_example_is_named_at_once() {
    let customizations = "circle-installation-customizations";
    let expected = [
        ("settings.conf", vec!["3:14", "9:16", "15:16", "18:16", "27:16", "30:16"]),
        ("replicated.conf", vec!["3:36", "5:28"]),
        (customizations, vec!["4:33", "4:44", "11:60", "11:71"]),
    ];
    let mut lines = Vec::new();
    for (file, places) in expected {
        lines.extend(places.into_iter().map(|place| format!("{file}:{place} error bundle.placeholder")));
    }
    lines.insert(8, "replicated.conf:7:3 warning replicated_conf.channel".to_owned());
    assert_eq!(findings(&seed()), lines);
}

#[test]
fn what_no_file_may_be() {
    for file in BundleFile::ALL {
        let mut fetched = good();
        fetched.files.remove(&file);
        assert_eq!(findings(&fetched), [format!("{file} error bundle.missing_file")]);
        for (content, kind) in [
            ("".into(), Kind::BundleEmptyFile),
            (" \r\n\t".into(), Kind::BundleEmptyFile),
            ("x".repeat(1024 * 1024 + 1), Kind::BundleTooLarge),
            ("<!DOCTYPE html><title>Sign in</title>".into(), Kind::BundleMarkupPage),
            ("\n<html><body>".into(), Kind::BundleMarkupPage),
            (
                "<?xml version=\"1.0\"?>\n<Error><Code>AccessDenied</Code></Error>".into(),
                Kind::BundleMarkupPage,
            ),
        ] {
            assert_eq!(findings(&with(file, content)), [format!("{file} error {kind}")]);
        }
    }
    let page = "<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code><Message>The key does not exist.</Message></Error>";
    let found = &validate_without_secrets(&with(BundleFile::License, page)).findings[0].cause;
    assert_eq!(found.evidence[0].value, "NoSuchKey");
    assert_eq!(found.evidence[1].value, "The key does not exist.");
}

#[test]
fn what_no_text_may_be() {
    for file in [BundleFile::Settings, BundleFile::Replicated, BundleFile::Customizations] {
        let text = String::from_utf8(good().files[&file].clone()).unwrap();
        let broken = |bytes: Vec<u8>| findings(&with(file, bytes));
        let mut latin = text.clone().into_bytes();
        latin.splice(2..2, [0xe9]);
        let place = if file == BundleFile::Customizations { "1:3" } else { "2:1" };
        assert_eq!(broken(latin.clone()), [format!("{file}:{place} error bundle.not_utf8")]);
        let said = validate_without_secrets(&with(file, latin)).findings[0].cause.sentence.clone();
        assert!(said.contains("byte 0xe9 at offset 2"), "{said}");
        let utf16 = std::iter::once(0xFEFF).chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        assert_eq!(broken(utf16), [format!("{file} error bundle.utf16")]);
        let marked = [b"\xEF\xBB\xBF", text.as_bytes()].concat();
        assert_eq!(broken(marked), [format!("{file}:1:1 error bundle.byte_order_mark")]);
        assert!(
            broken(format!("{text}\0").into()).iter().any(|line| line.ends_with("error bundle.nul_byte"))
        );
    }
    let windows = |file: BundleFile| {
        let text = String::from_utf8(good().files[&file].clone()).unwrap();
        kinds(&with(file, text.replace('\n', "\r\n")))
    };
    assert_eq!(windows(BundleFile::Settings), ["warning bundle.crlf"]);
    assert_eq!(windows(BundleFile::Replicated), ["warning bundle.crlf"]);
    assert_eq!(windows(BundleFile::Customizations)[0], "error bundle.crlf");
    assert!(!windows(BundleFile::Customizations).iter().any(|kind| kind.contains("uri")));
}

#[test]
fn the_licence_may_hold_anything_else() {
    for content in [
        &b"\xff\xfe\x00binary"[..],
        "<hostname> “quoted”".as_bytes(),
        b"{ no json\r\n",
        b"short=",
        b"a plain text",
    ] {
        assert_eq!(findings(&with(BundleFile::License, content)), [""; 0]);
    }
}

#[test]
fn a_licence_is_nothing_that_lies_beside_it() {
    let packed =
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, [0x1f, 0x8b, 0, 0xff].repeat(40));
    let wrapped: String =
        packed.as_bytes().chunks(76).map(|line| format!("{}\n", String::from_utf8_lossy(line))).collect();
    let utf16: Vec<u8> = "licence".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let settings = good().files[&BundleFile::Settings].clone();
    for (content, kind) in [
        (packed.into_bytes(), "warning license.base64"),
        (wrapped.into_bytes(), "warning license.base64"),
        (b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n".to_vec(), "error license.pem"),
        (b"{\"json\": 1}\r\n".to_vec(), "error license.json"),
        (b"<License><id>1</id></License>\n".to_vec(), "error license.xml"),
        (utf16, "error bundle.utf16"),
        (settings, "error bundle.wrong_file"),
    ] {
        assert_eq!(findings(&with(BundleFile::License, content)), [format!("license.rli {kind}")]);
    }
}

#[test]
fn files_that_were_mixed_up_are_one_mistake() {
    let files = good().files;
    let mixed = |pairs: &[(BundleFile, BundleFile)]| {
        let mut fetched = good();
        for (place, content) in pairs {
            fetched.files.insert(*place, files[content].clone());
        }
        let found = validate_without_secrets(&fetched).findings;
        found
            .iter()
            .map(|finding| format!("{} {}", finding.cause.kind, finding.cause.sentence))
            .collect::<Vec<_>>()
    };
    use BundleFile::{Customizations, License, Replicated, Settings};
    for (one, two) in [(Settings, Replicated), (Settings, Customizations), (Replicated, Customizations)] {
        // Names are not compared: another test of this process may have made a word of them a secret.
        for (pairs, what) in [
            (&[(one, two), (two, one)][..], "are swapped"),
            (&[(one, two)], "is a copy of"),
            (&[(two, one)], "is a copy of"),
        ] {
            let found = mixed(pairs);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].starts_with("bundle.wrong_file") && found[0].contains(what), "{found:?}");
        }
    }
    assert_eq!(mixed(&[(License, Settings)]), ["bundle.wrong_file license.rli is a copy of settings.conf."]);
    let mut swapped = good();
    swapped.files.insert(License, files[&Settings].clone());
    swapped.files.insert(Settings, b"\x1f\x8b\xff\x00binary".to_vec());
    let found = validate_without_secrets(&swapped).findings;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].cause.sentence, "license.rli and settings.conf are swapped.");
}

#[test]
fn exported_settings_in_another_form_are_one_mistake_and_the_command_corrects_it() {
    let wanted = r#"{"hostname":{"value":"circleci.example.com"},"allow_cluster":{"value":"1"},"secret_passphrase":{"value":"a=b: c"}}"#;
    for (content, kind) in [
        (
            r#"[{"name":"hostname","value":"circleci.example.com"},{"name":"allow_cluster","value":"1"},{"name":"secret_passphrase","value":"a=b: c"}]"#,
            "list",
        ),
        (
            r#"[{"name":"g","items":[{"name":"hostname","value":"circleci.example.com"},{"name":"allow_cluster","value":1}]},{"items":[{"name":"secret_passphrase","value":"a=b: c"}]}]"#,
            "list",
        ),
        ("hostname=circleci.example.com\nallow_cluster=\"1\"\nsecret_passphrase=a=b: c\n", "key_value"),
        (
            "# exported\nexport hostname=circleci.example.com\nallow_cluster=1\nsecret_passphrase=a=b: c\n",
            "key_value",
        ),
        ("hostname: circleci.example.com\nallow_cluster: '1'\nsecret_passphrase: \"a=b: c\"\n", "yaml"),
        (
            "---\nhostname:\n  value: circleci.example.com\nallow_cluster:\n  value: \"1\"\nsecret_passphrase:\n  value: 'a=b: c'\n",
            "yaml",
        ),
        (r#"{"hostname":"circleci.example.com","allow_cluster":1,"secret_passphrase":"a=b: c"}"#, "flat"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("settings.conf");
        std::fs::write(&file, content).unwrap();
        let mut fetched = with(BundleFile::Settings, content);
        fetched.place = directory.path().to_string_lossy().into_owned();
        let found = validate_without_secrets(&fetched).findings;
        let of_form: Vec<_> = found
            .iter()
            .filter(|finding| {
                !finding.cause.kind.as_str().ends_with("missing")
                    && !finding.cause.kind.as_str().ends_with("agreement")
            })
            .collect();
        assert_eq!(of_form.len(), 1, "{content}: {found:?}");
        assert_eq!(of_form[0].cause.kind.as_str(), format!("settings_conf.{kind}"), "{content}");
        // The command works as it stands.
        let command = of_form[0].cause.next_step.strip_prefix("Convert it: ").unwrap();
        let output = std::process::Command::new("/bin/bash").args(["-c", command]).output().unwrap();
        assert!(output.status.success(), "{command}: {output:?}");
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&std::fs::read_to_string(&file).unwrap()), read(wanted), "{command}");
    }
}

#[test]
fn commands_that_convert_a_file_work_as_they_stand() {
    let text = "{\n\"a\": \"é\"}\n";
    let wide: Vec<u8> =
        std::iter::once(0xFEFF).chain(text.encode_utf16()).flat_map(u16::to_be_bytes).collect();
    for (content, kind) in [
        (wide, Kind::BundleUtf16),
        (text.encode_utf16().flat_map(u16::to_le_bytes).collect(), Kind::BundleUtf16),
        (text.replace('\n', "\r\n").into_bytes(), Kind::BundleCrlf),
        ([b"\xEF\xBB\xBF", text.as_bytes()].concat(), Kind::BundleByteOrderMark),
        (text.chars().map(|c| c as u8).collect(), Kind::BundleNotUtf8),
    ] {
        let directory = tempfile::tempdir_in(std::env::temp_dir()).unwrap();
        let place = directory.path().join("my bundle");
        std::fs::create_dir(&place).unwrap();
        let file = place.join("replicated.conf");
        std::fs::write(&file, &content).unwrap();
        let mut fetched = with(BundleFile::Replicated, content);
        fetched.place = place.to_string_lossy().into_owned();
        let found = validate_without_secrets(&fetched).findings;
        let found = found
            .iter()
            .find(|finding| finding.cause.kind == kind)
            .unwrap_or_else(|| panic!("{kind}: {found:?}"));
        let (_, command) = found.cause.next_step.split_once(": ").unwrap();
        let output = std::process::Command::new("/bin/bash").args(["-c", command]).output().unwrap();
        assert!(output.status.success(), "{command}: {output:?}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text, "{command}");
    }
}

#[test]
fn a_file_under_a_near_name_is_pointed_at_and_validated() {
    let mut fetched = with_edit(BundleFile::Settings, "github_type_public", "github_type_pubic");
    let content = fetched.files.remove(&BundleFile::Settings).unwrap();
    fetched.place = "bundle".to_owned();
    fetched.lacking.insert(
        BundleFile::Settings,
        Lacking { cause: None, near: Some("settings.conf.txt".to_owned()), content },
    );
    let found = validate_without_secrets(&fetched).findings;
    assert_eq!(found[0].cause.sentence, "settings.conf is missing; settings.conf.txt is there.");
    assert_eq!(found[0].cause.next_step, "Rename it: mv bundle/settings.conf.txt bundle/settings.conf");
    assert_eq!((found[1].file.as_str(), found[1].cause.kind), ("settings.conf.txt", Kind::SettingsConfValue));
    assert_eq!(found.len(), 2);
}

#[test]
fn findings_are_capped_and_counted() {
    let many = with(BundleFile::Customizations, "export CIRCLE_SECRETS_MONGODB_MAIN_URI = x\n".repeat(5000));
    let found = validate_without_secrets(&many).findings;
    let more = found.last().unwrap();
    assert_eq!(more.cause.kind, Kind::BundleMoreFindings);
    // With the address that is missing besides.
    assert!(more.cause.sentence.starts_with("4901 more"), "{}", more.cause.sentence);
    let mut all = many;
    for n in 0..10 {
        let path = format!("/etc/circleconfig/service{n}/customizations");
        all.extra.push(ExtraFile {
            path: path.into(),
            mode: None,
            content: "A = x\n".repeat(50).into_bytes(),
        });
    }
    let found = validate_without_secrets(&all).findings;
    assert_eq!(found.len(), 200);
    assert!(found[199].cause.sentence.starts_with("5305 more"), "{}", found[199].cause.sentence);
}

#[test]
fn what_documents_leave_behind_is_found_outside_comments_alone() {
    let edit = |from, to| findings(&with_edit(BundleFile::Customizations, from, to));
    assert_eq!(edit("# Mongo DB", "# Mongo “DB” <name> don’t"), [""; 0]);
    let quoted = edit(
        "'postgres://circle:good-postgres-password@postgres.example.com:5432/circle'",
        "’postgres://h/circle’",
    );
    assert_eq!(quoted[0], "circle-installation-customizations:9:41 error bundle.curly_quote");
    let edit = |from, to| findings(&with_edit(BundleFile::Settings, from, to));
    assert_eq!(edit("\"a-bucket\"", "“a-bucket”"), ["settings.conf:10:25 error bundle.curly_quote"]);
    assert_eq!(edit("good-passphrase", "good ‘passphrase’"), ["settings.conf:4:39 error bundle.curly_quote"]);
    assert_eq!(
        edit("good-passphrase", "good\u{a0}passphrase"),
        ["settings.conf:4:38 warning bundle.invisible_character"]
    );
    assert_eq!(
        edit("a-bucket", "\\u003cbucket name\\u003e"),
        ["settings.conf:10:26 error bundle.placeholder"]
    );
}

#[test]
fn a_password_with_angle_brackets_is_no_placeholder() {
    for password in ["a<bc>d", "<", "x>y<z", "<1>", "<->", "<a>", "<!x!>", "pass<word>9"] {
        assert_eq!(
            findings(&with_edit(BundleFile::Settings, "good-passphrase", password)),
            [""; 0],
            "{password}"
        );
    }
    for placeholder in
        ["<password>", "<CircleCI hostname>", "<YOUR_CIRCLE_URL>", "pre-<bucket-name>", "<second hostname>:1"]
    {
        let found = kinds(&with_edit(BundleFile::Settings, "good-passphrase", placeholder));
        assert_eq!(found, ["error bundle.placeholder"], "{placeholder}");
    }
}

#[test]
fn each_slip_in_json_has_its_kind_and_the_rest_is_looked_at_all_the_same() {
    for (from, to, kind) in [
        ("\"1\"},", "\"1\"},,", "json_syntax"),
        ("_agree\"}\n}", "_agree\"},\n}", "json_trailing_comma"),
        ("\"1\"},", "\"1\"}", "json_missing_comma"),
        ("\"allow_cluster\":", "\"allow_cluster\"", "json_missing_colon"),
        ("\"1\"},", "\"1\"}, // cluster", "json_comment"),
        ("\"allow_cluster\"", "'allow_cluster'", "json_single_quotes"),
        ("\"allow_cluster\"", "allow_cluster", "json_bare_word"),
        ("good-passphrase", "good\\passphrase", "json_escape"),
        ("\"a-bucket\"}", "\"a-bucket\", \"data\": 01}", "json_number"),
        ("good-passphrase", "good\npassphrase", "json_string"),
        ("good-passphrase", "good\tpassphrase", "json_string"),
        ("\"allow_cluster\"", "\"hostname\"", "json_duplicate_key"),
        ("_agree\"}\n}", "_agree\"}", "json_truncated"),
        ("_agree\"}\n}", "_agree\"}\n}}", "json_syntax"),
    ] {
        let found = kinds(&with_edit(BundleFile::Settings, from, to));
        assert!(found.contains(&format!("error bundle.{kind}")), "{to:?}: {found:?}");
    }
    assert_eq!(kinds(&with(BundleFile::Replicated, "[1]")), ["error bundle.json_not_object"]);
    assert_eq!(kinds(&with(BundleFile::Replicated, "[".repeat(5000))), ["error bundle.json_too_deep"]);
    let two = with_edit(BundleFile::Settings, "\"1\"},", "\"1\"}").files[&BundleFile::Settings].clone();
    let two = String::from_utf8(two).unwrap().replace("github_type_public", "github_type_pubic");
    assert_eq!(
        findings(&with(BundleFile::Settings, two)),
        [
            "settings.conf:3:33 error bundle.json_missing_comma",
            "settings.conf:5:24 error settings_conf.value"
        ]
    );
}

#[test]
fn extra_files_go_where_they_can() {
    let extra = |paths: &[&str]| {
        let mut fetched = good();
        let file =
            |path: &&str| ExtraFile { path: path.into(), mode: Some(0o600), content: b"<name>\xff".to_vec() };
        fetched.extra = paths.iter().map(file).collect();
        fetched
    };
    let fetched = extra(&["/etc/circleconfig/a", "/opt/ca/b.crt"]);
    assert_eq!(findings(&fetched), [""; 0]);
    let bundle = validate_without_secrets(&fetched).bundle.unwrap();
    let first = bundle.placements().next().unwrap();
    assert_eq!((first.path, first.mode), (Path::new("/etc/circleconfig/a"), Some(0o600)));
    for paths in [&["etc/a"][..], &["/etc/../a"], &["/"], &["/etc/settings.conf"], &["/a", "/a"]] {
        let found = kinds(&extra(paths));
        assert_eq!(found, ["error bundle.extra_path"], "{paths:?}");
    }
}

#[test]
fn a_finding_in_one_line_and_in_json() {
    let validation =
        validate_without_secrets(&with_edit(BundleFile::Settings, "github_type_public", "github_type_pubic"));
    let finding = &validation.findings[0];
    let line = finding.to_string();
    assert!(line.starts_with("settings.conf:5:24: error: ghe_type is \"github_type_pubic\""), "{line}");
    assert!(line.ends_with("[settings_conf.value]") && !line.contains('\n'), "{line}");
    let json = serde_json::to_value(finding).unwrap();
    assert_eq!(json["severity"], "error");
    assert_eq!((&json["line"], &json["column"]), (&5.into(), &24.into()));
    assert_eq!((&json["kind"], &json["class"]), (&"settings_conf.value".into(), &"config".into()));
}

/// The bundle of the published example, with its placeholders.
pub(super) fn seed() -> Fetched {
    let mut fetched = Fetched::default();
    let settings = r#"{
 "hostname": {
   "value": "<CircleCI Hostname>"
 },
 "allow_cluster": {
   "value": "1"
 },
 "secret_passphrase": {
     "value": "<passphrase>"
 },
 "ghe_type": {
     "value": "github_type_public"
 },
 "ghe_client_id": {
     "value": "<id>"
 },
 "ghe_client_secret": {
     "value": "<secret>"
 },
 "storage_backend": {
     "value": "storage_backend_s3"
 },
 "aws_region": {
     "value": "us-east-1"
 },
 "s3_bucket": {
     "value": "<bucket name>"
 },
 "sqs_queue_url": {
     "value": "<queue url>"
 },
 "license_agreement":
 {
     "value": "license_agreement_agree"
 }
}
"#;
    let replicated = r#"{
  "DaemonAuthenticationType": "password",
  "DaemonAuthenticationPassword": "<password>",
  "TlsBootstrapType": "self-signed",
  "TlsBootstrapHostname": "<CircleCI hostname>",
  "LogLevel": "debug",
  "Channel": "stable",
  "LicenseFileLocation": "/etc/license.rli",
  "ImportSettingsFrom": "/etc/settings.conf",
  "BypassPreflightChecks": true
}
"#;
    let customizations = r#"# Note that connection strings below should be modified as necessary

# Mongo DB
MONGO_BASE_URI=mongodb://circle:<password>@<hostname>:27017
export CIRCLE_SECRETS_MONGODB_MAIN_URI="$MONGO_BASE_URI/circle_ghe?authSource=admin"
export CIRCLE_SECRETS_MONGODB_ACTION_LOGS_URI="$MONGO_BASE_URI/circle_ghe?authSource=admin"
export CIRCLE_SECRETS_MONGODB_BUILD_STATE_URI="$MONGO_BASE_URI/build_state_dev_ghe?authSource=admin"
export CIRCLE_SECRETS_MONGODB_CONTAINERS_URI="$MONGO_BASE_URI/containers_dev_ghe?authSource=admin"

# Postgres DB
export CIRCLE_SECRETS_POSTGRES_MAIN_URI='postgres://circle:<password>@<hostname>:5432/circle'
"#;
    fetched.files.insert(BundleFile::Settings, settings.into());
    fetched.files.insert(BundleFile::Replicated, replicated.into());
    fetched.files.insert(BundleFile::License, b"licence".to_vec());
    fetched.files.insert(BundleFile::Customizations, customizations.into());
    fetched
}
