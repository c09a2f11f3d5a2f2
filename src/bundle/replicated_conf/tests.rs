use openssl::asn1::Asn1Time;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use openssl::x509::X509;

use crate::bundle::tests::{findings, good, with, with_edit};
use crate::bundle::validate::validate_without_secrets;
use crate::bundle::{BundleFile, ExtraFile};

const FILE: BundleFile = BundleFile::Replicated;

/// The good file with `lines` put in, and any key of theirs taken out that stood there.
fn with_lines(lines: &str) -> crate::bundle::Fetched {
    let text = String::from_utf8(good().files[&FILE].clone()).unwrap();
    let set = |line: &str| line.trim().split('"').nth(1).map(str::to_owned);
    let keys: Vec<_> = lines.lines().filter_map(set).collect();
    let kept = text.lines().filter(|line| !set(line).is_some_and(|key| keys.contains(&key)));
    let mut body: Vec<String> =
        kept.filter(|line| line.contains(':')).map(|line| line.trim_end_matches(',').to_owned()).collect();
    body.insert(0, lines.trim_end_matches(['\n', ',']).to_owned());
    with(FILE, format!("{{\n{}\n}}\n", body.join(",\n")))
}

fn without(key: &str) -> crate::bundle::Fetched {
    let text = String::from_utf8(good().files[&FILE].clone()).unwrap();
    let lines: Vec<_> = text.lines().filter(|line| !line.contains(&format!("\"{key}\""))).collect();
    with(FILE, lines.join("\n").replace(",\n}", "\n}"))
}

#[test]
fn every_rule_good_and_bad() {
    for (lines, expected) in [
        // Types.
        (r#""BypassPreflightChecks": "true""#, &["2:26 error replicated_conf.type"][..]),
        (r#""ForceUseImportedSettings": false"#, &[]),
        (r#""ForceUseImportedSettings": 1"#, &["2:29 error replicated_conf.type"]),
        (r#""RemoveImportSettingsFrom": null"#, &["2:29 error replicated_conf.type"]),
        (r#""DaemonAuthenticationPassword": 123456"#, &["2:33 error replicated_conf.type"]),
        (r#""ReleaseSequence": "2439""#, &["2:20 error replicated_conf.type"]),
        (r#""ReleaseSequence": 24.5"#, &["2:20 error replicated_conf.value"]),
        (r#""ReleaseSequence": -1"#, &["2:20 error replicated_conf.value"]),
        (r#""DaemonToken": ["x"]"#, &["2:16 error replicated_conf.type"]),
        (r#""LogLevel": 3"#, &["2:13 error replicated_conf.type"]),
        // Values.
        (r#""LogLevel": "warn""#, &[]),
        (r#""LogLevel": "warning""#, &["2:13 error replicated_conf.value"]),
        (r#""DaemonAuthenticationType": "Password""#, &["2:29 error replicated_conf.value"]),
        (r#""TlsBootstrapType": "selfsigned""#, &["2:21 error replicated_conf.value"]),
        (r#""TlsBootstrapHostname": "https://circleci.example.com""#, &["2:1 error replicated_conf.value"]),
        (r#""TlsBootstrapHostname": "circleci.example.com:443""#, &["2:1 error replicated_conf.value"]),
        // Empty.
        (r#""DaemonAuthenticationPassword": """#, &["2:33 error replicated_conf.empty"]),
        (r#""LicenseFileLocation": " ""#, &["2:24 error replicated_conf.empty"]),
        (r#""LogLevel": """#, &["2:13 error replicated_conf.empty"]),
        (r#""DockerHubUsername": """#, &["2:22 warning replicated_conf.empty"]),
        (r#""LocalAddress": """#, &["2:17 warning replicated_conf.empty"]),
        // Unknown keys.
        (r#""LogLevl": "debug""#, &["2:1 warning replicated_conf.unknown_key"]),
        (r#""Frobnicate": {}"#, &["2:1 warning replicated_conf.unknown_key"]),
        (r#""SnapshotsSomethingElse": "x""#, &[]),
        (r#""SnapshotsS3Bukcet": "x""#, &["2:1 warning replicated_conf.unknown_key"]),
        (r#""SnapshotsAWSSecretKey": "snapshot-secret""#, &[]),
        (r#""Channel": "stable""#, &["2:1 warning replicated_conf.channel"]),
        (r#""Channel": 4"#, &["2:1 warning replicated_conf.channel"]),
        // Each other.
        (r#""DaemonAuthenticationType": "anonymous""#, &["3:3 warning replicated_conf.unused"]),
        (
            "\"LicenseBootstrapAirgapPackagePath\": \"/data/app.airgap\"",
            &["8:3 error replicated_conf.excluded"],
        ),
        // Paths.
        (r#""LicenseFileLocation": "license.rli""#, &["2:24 error replicated_conf.path"]),
        (r#""LicenseFileLocation": "/etc/licence.rli""#, &["2:1 error replicated_conf.path"]),
        (r#""LicenseFileLocation": "/etc/settings.conf""#, &["2:1 error replicated_conf.path"]),
        (r#""ImportSettingsFrom": "/tmp/settings.conf""#, &["2:1 error replicated_conf.path"]),
        // Addresses and the installer's grep.
        (r#""HttpProxy": "http://proxy:3128""#, &[]),
        (r#""HttpProxy":    "http://proxy:3128""#, &[]),
        (r#""HttpProxy" : "http://proxy:3128""#, &["2:1 error replicated_conf.not_plain"]),
        ("\"HttpProxy\":\n\"http://proxy:3128\"", &["2:1 error replicated_conf.not_plain"]),
        (r#""HttpProxy": "http:\/\/proxy:3128""#, &["2:1 error replicated_conf.not_plain"]),
        (r#""HttpProx\u0079": "http://proxy:3128""#, &["2:1 error replicated_conf.not_plain"]),
        (r#""HttpProxy": "proxy:3128""#, &["2:1 error replicated_conf.value"]),
        (r#""LocalAddress": "10.0.0.7""#, &["2:1 warning replicated_conf.fixed_address"]),
        (
            r#""Frobnicate": {"LocalAddress": "10.0.0.7"}"#,
            &["2:1 warning replicated_conf.unknown_key", "2:16 error replicated_conf.not_plain"],
        ),
        // TLS.
        (
            "\"TlsBootstrapType\": \"server-path\",\n\"TlsBootstrapCert\": \"/etc/c.pem\",\n\"TlsBootstrapKey\": \"/etc/k.pem\"",
            &["3:1 warning replicated_conf.path", "4:1 warning replicated_conf.path"],
        ),
        (
            "\"TlsBootstrapType\": \"server-path\",\n\"TlsBootstrapCert\": \"c.pem\"",
            &["2:1 error replicated_conf.required", "3:1 error replicated_conf.tls"],
        ),
        ("\"TlsBootstrapType\": \"key-cert\"", &["2:1 error replicated_conf.required"]),
        (
            "\"TlsBootstrapType\": \"key-cert\",\n\"TlsBootstrapCert\": \"/etc/c.pem\",\n\"TlsBootstrapKey\": \"/etc/k.pem\"",
            &["3:1 error replicated_conf.tls", "4:1 error replicated_conf.tls"],
        ),
        ("\"TlsBootstrapCert\": \"/etc/c.pem\"", &["2:1 warning replicated_conf.unused"]),
    ] {
        let expected: Vec<_> = expected.iter().map(|line| format!("replicated.conf:{line}")).collect();
        assert_eq!(findings(&with_lines(lines)), expected, "{lines}");
    }
}

#[test]
fn keys_and_numbers_are_read_as_go_reads_them() {
    let renamed = |from: &str, to: &str| findings(&with_edit(FILE, from, to));
    // The case of a key does not matter, and the Kelvin sign and the long s are letters of it.
    for (key, other) in [
        ("LicenseFileLocation", "licenseFileLocation"),
        ("DaemonAuthenticationPassword", "DAEMONAUTHENTICATIONPASSWORD"),
        ("ReleaseSequence", "Relea\u{17f}eSequence"),
        ("BypassPreflightChecks", "BypassPreflightChec\u{212a}s"),
    ] {
        assert_eq!(renamed(&format!("\"{key}\""), &format!("\"{other}\"")), [""; 0], "{other}");
    }
    // So this opens the console.
    assert_eq!(
        renamed("\"DaemonAuthenticationType\": \"password\"", "\"daemonauthenticationtype\": \"anonymous\""),
        ["replicated.conf:3:3 warning replicated_conf.unused"]
    );
    assert_eq!(
        renamed("\"LogLevel\"", "\"logLevl\""),
        ["replicated.conf:6:3 warning replicated_conf.unknown_key"]
    );
    // The last of several counts, however it is spelt.
    let twice = |line: &str| findings(&with_edit(FILE, "{\n", &format!("{{\n{line},\n")));
    assert_eq!(twice("\"loglevel\": \"nonsense\"").len(), 2);
    let last = |line: &str| findings(&with_edit(FILE, "true\n}", &format!("true,\n{line}\n}}")));
    assert_eq!(
        last("\"daemonAuthenticationType\": \"anonymous\""),
        [
            "replicated.conf:3:3 warning replicated_conf.unused",
            "replicated.conf:11:1 error bundle.json_duplicate_key",
        ]
    );
    // An int of 64 bits.
    for (number, kinds) in [
        ("9223372036854775807", &[][..]),
        ("9223372036854775808", &["replicated.conf:7:22 error replicated_conf.value"]),
        ("18446744073709551615", &["replicated.conf:7:22 error replicated_conf.value"]),
        ("1e3", &["replicated.conf:7:22 error replicated_conf.value"]),
        ("2439.0", &["replicated.conf:7:22 error replicated_conf.value"]),
        ("0", &[]),
    ] {
        assert_eq!(renamed("2439", number), kinds, "{number}");
    }
    // The installer greps these two, and that does look at the case.
    assert_eq!(
        last("\"httpproxy\": \"http://proxy:3128\""),
        ["replicated.conf:11:1 error replicated_conf.not_plain"]
    );
}

#[test]
fn what_must_be_there() {
    for (key, expected) in [
        ("DaemonAuthenticationPassword", "replicated.conf:2:3 error replicated_conf.required"),
        ("LicenseFileLocation", "replicated.conf error replicated_conf.required"),
        ("ImportSettingsFrom", "replicated.conf error replicated_conf.required"),
        ("TlsBootstrapType", "replicated.conf warning replicated_conf.required"),
        ("BypassPreflightChecks", "replicated.conf warning replicated_conf.required"),
    ] {
        assert_eq!(findings(&without(key)), [expected], "{key}");
    }
    for key in ["TlsBootstrapHostname", "LogLevel", "ReleaseSequence"] {
        assert_eq!(findings(&without(key)), [""; 0], "{key}");
    }
    assert_eq!(
        findings(&without("DaemonAuthenticationType")),
        [
            "replicated.conf warning replicated_conf.required",
            "replicated.conf:2:3 warning replicated_conf.unused",
        ]
    );
}

#[test]
fn server_path_wants_a_host_name_and_takes_files_of_the_bundle() {
    let mut fetched = with_lines(
        "\"TlsBootstrapType\": \"server-path\",\n\"TlsBootstrapCert\": \"/etc/c.pem\",\n\"TlsBootstrapKey\": \"/etc/k.pem\"",
    );
    for path in ["/etc/c.pem", "/etc/k.pem"] {
        fetched.extra.push(ExtraFile { path: path.into(), mode: None, content: b"pem".to_vec() });
    }
    assert_eq!(findings(&fetched), [""; 0]);
    let text = String::from_utf8(fetched.files[&FILE].clone()).unwrap();
    let lines: Vec<_> = text.lines().filter(|line| !line.contains("TlsBootstrapHostname")).collect();
    fetched.files.insert(FILE, lines.join("\n").into_bytes());
    assert_eq!(findings(&fetched), ["replicated.conf:2:1 error replicated_conf.required"]);
}

#[test]
fn a_licence_elsewhere_is_fine_if_the_bundle_places_it() {
    let mut fetched = with_edit(FILE, "/etc/license.rli", "/data/license.rli");
    assert_eq!(findings(&fetched), ["replicated.conf:8:3 error replicated_conf.path"]);
    fetched.extra.push(ExtraFile { path: "/data/license.rli".into(), mode: None, content: b"x".to_vec() });
    assert_eq!(findings(&fetched), [""; 0]);
}

#[test]
fn did_you_mean() {
    for (lines, word) in [
        (r#""LogLevl": "debug""#, "Did you mean LogLevel?"),
        (r#""LogLevel": "wran""#, "Did you mean \"warn\"?"),
        (r#""TlsBootstrapType": "selfsigned""#, "Did you mean \"self-signed\"?"),
    ] {
        let next_step = validate_without_secrets(&with_lines(lines)).findings[0].cause.next_step.clone();
        assert!(next_step.contains(word), "{next_step}");
    }
}

fn pair() -> (String, String) {
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let mut certificate = X509::builder().unwrap();
    certificate.set_pubkey(&key).unwrap();
    certificate.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    certificate.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
    certificate.sign(&key, MessageDigest::sha256()).unwrap();
    let text = |pem: Vec<u8>| String::from_utf8(pem).unwrap();
    (text(certificate.build().to_pem().unwrap()), text(key.private_key_to_pem_pkcs8().unwrap()))
}

#[test]
fn key_and_certificate_must_be_a_pair() {
    let ((certificate, key), (_, other)) = (pair(), pair());
    let conf = |certificate: &str, key: &str| {
        let quoted = |text: &str| serde_json::to_string(text).unwrap();
        findings(&with_lines(&format!(
            "\"TlsBootstrapType\": \"key-cert\",\n\"TlsBootstrapCert\": {},\n\"TlsBootstrapKey\": {}",
            quoted(certificate),
            quoted(key)
        )))
    };
    assert_eq!(conf(&certificate, &key), [""; 0]);
    assert_eq!(conf(&certificate, &other), ["replicated.conf:4:1 error replicated_conf.tls"]);
    assert_eq!(conf(&key, &certificate).len(), 2);
    let encrypted = PKey::private_key_from_pem(key.as_bytes())
        .unwrap()
        .private_key_to_pem_pkcs8_passphrase(openssl::symm::Cipher::aes_128_cbc(), b"x")
        .unwrap();
    let encrypted = String::from_utf8(encrypted).unwrap();
    assert_eq!(conf(&certificate, &encrypted), ["replicated.conf:4:1 error replicated_conf.tls"]);
}
