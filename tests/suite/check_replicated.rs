//! Every rule for `replicated.conf`, good and bad.

use std::fs;

use super::check::Change::{Add, Drop, Replace};
use super::check::{REP, assert_rows};
use super::harness::certificates::Authority;

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
        (
            Add(REP, r#""LicenseBootstrapAirgapPackagePath": "/opt/app.airgap""#),
            &["warning airgap.not_in_bundle replicated.conf"],
        ),
        (
            Add(REP, r#""LicenseBootstrapAirgapPackagePath": "/opt/app.airgap", "ReleaseSequence": 1"#),
            &["warning airgap.not_in_bundle", "error replicated_conf.excluded"],
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
pub(crate) fn leak(text: &str) -> &'static str {
    String::leak(text.to_owned())
}

fn leak_rows(rows: &[&'static str]) -> &'static [&'static str] {
    Vec::leak(rows.to_vec())
}
