use super::found;
use crate::bundle::tests::{good, seed, with, with_edit};
use crate::bundle::{BundleFile, ExtraFile, Fetched, validate};
use crate::secret::Secrets;

#[test]
fn secrets_are_found_in_whole_and_in_broken_files() {
    let all = |fetched: &Fetched| found(fetched);
    let expected = [
        "good-passphrase",
        "good-client-secret",
        "good-console-password",
        "good-mongo-password",
        "good-postgres-password",
    ];
    for secret in expected {
        assert!(all(&good()).contains(&secret.to_owned()), "{secret}");
    }
    for (text, secret) in [
        (r#"{"secret_passphrase": {"value": "canary1", oops"#, "canary1"),
        (r#"{"secret_passphrase": {"value": "cana"ry2"}}"#, "cana\"ry2"),
        (r#"{secret_passphrase: {value: canary3}}"#, "canary3"),
        ("{“secret_passphrase”: {“value”: “canary4”}}", "canary4"),
        ("{'secret_passphrase': {'value': 'canary5'}}", "canary5"),
        (r#"{"smtp_password": {"value": "canary\u0036\/"}}"#, "canary6/"),
        (r#"{"aws_secret_key": {"multi_value": ["canary7", "canary8"]}}"#, "canary8"),
        ("{\"saml_token\": {\"value\": \"canary9\n}}", "canary9"),
        (r#"{"proxy": {"value": "http://user:canary10@proxy:3128"}}"#, "canary10"),
        (
            r#"{"cert": {"value": "-----BEGIN PRIVATE KEY-----\nMIIcanary11\n-----END PRIVATE KEY-----"}}"#,
            "MIIcanary11",
        ),
    ] {
        let secrets = all(&with(BundleFile::Settings, text));
        assert!(
            secrets
                .iter()
                .any(|found| found == secret
                    || found.contains("canary11") && found.lines().any(|l| l == secret)),
            "{text}: {secrets:?}"
        );
    }
    for (text, secret) in [
        ("export GITHUB_TOKEN=canary20; if", "canary20"),
        ("export SMTP_PASSWORD='canary 21'\n'", "canary 21"),
        ("P=cana\nexport DB_PASS=\"${P}ry22\"", "canary22"),
        ("U='mongodb://circle:can@ry/23:@host:27017/db'", "can@ry/23:"),
        ("P=canary24\nU=\"mongodb://circle:$P@host:27017/db\"", "canary24"),
        ("U='postgres://host/db?user=u&password=canary25&x=y' '", "canary25"),
        ("U='mongodb://circle:can\"ary 26@host/db'", "can\"ary 26"),
    ] {
        let secrets = all(&with(BundleFile::Customizations, text));
        assert!(secrets.contains(&secret.to_owned()), "{text}: {secrets:?}");
    }
}

#[test]
fn what_is_no_secret_is_not_taken_for_one() {
    let secrets = found(&seed());
    assert_eq!(secrets, [""; 0]);
    let text = r#"{"use_secrets": {"value": "1"}, "public_key": {"value": "ssh-rsa"}, "hostname": {"value": "h.example.com"}}"#;
    let mut fetched = with(BundleFile::Settings, text);
    fetched.files.remove(&BundleFile::Replicated);
    let text = "export CIRCLE_SECRETS_QUEUE_HOST=queue.example.com\nKEY_FILE=/etc/key\nA=1 B=$TOKEN";
    fetched.files.insert(BundleFile::Customizations, text.into());
    assert_eq!(found(&fetched), [""; 0]);
}

#[test]
fn nothing_that_can_be_printed_shows_a_secret() {
    let mut fetched =
        with_edit(BundleFile::Replicated, "{\n", "{\n  \"HttpProxy\": \"http://u:proxy-canary-77@p:1\",\n");
    fetched.extra.push(ExtraFile {
        path: "/data/circle/circleci-encryption-keys/k".into(),
        mode: None,
        content: b"key-canary-78".to_vec(),
    });
    let secrets = Secrets::default();
    let mut validation = validate(&fetched, &[], &secrets);
    validation.findings.iter_mut().for_each(|finding| finding.cause.scrub(&secrets));
    let printed = format!("{validation:?} {:?} {:?}", validation.bundle, fetched);
    let placements: Vec<_> = validation.bundle.as_ref().map(|b| b.placements().collect()).unwrap_or_default();
    let printed = format!("{printed} {placements:?}");
    for secret in ["good-", "canary"] {
        assert!(!printed.contains(secret), "{printed}");
    }
    assert!(secrets.is_in("key-canary-78") && secrets.is_in("good-mongo-password"));
}
