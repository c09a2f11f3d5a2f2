use crate::bundle::BundleFile;
use crate::bundle::tests::{findings, kinds, with, with_edit};
use crate::bundle::validate::validate_without_secrets;

const FILE: BundleFile = BundleFile::Settings;

/// The kinds of findings after one setting got another value, as written in JSON.
fn set(key: &str, json: &str) -> Vec<String> {
    kinds(&edited(key, Some(json)))
}

fn edited(key: &str, json: Option<&str>) -> crate::bundle::Fetched {
    let text = String::from_utf8(crate::bundle::tests::good().files[&FILE].clone()).unwrap();
    let mut value: serde_json::Map<_, _> = serde_json::from_str(&text).unwrap();
    value.remove(key);
    if let Some(json) = json {
        value.insert(key.to_owned(), serde_json::from_str(json).unwrap());
    }
    with(FILE, serde_json::to_string_pretty(&value).unwrap())
}

#[test]
fn every_rule_good_and_bad() {
    for (key, json, expected) in [
        ("hostname", r#""circleci.example.com""#, &["error settings_conf.not_object"][..]),
        ("anything", "3", &["error settings_conf.not_object"]),
        ("anything", r#"{"value": "x"}"#, &[]),
        ("anything", r#"{"value": 1}"#, &["error settings_conf.value_not_string"]),
        ("anything", r#"{"value": true}"#, &["error settings_conf.value_not_string"]),
        ("anything", r#"{"data": null}"#, &["error settings_conf.value_not_string"]),
        ("anything", r#"{"multi_value": ["x"], "multi_data": {"a": "b"}}"#, &[]),
        ("anything", r#"{"Valve": "x"}"#, &["warning settings_conf.unknown_member"]),
        // Go does not look at the case of a member.
        ("anything", r#"{"Value": "x"}"#, &[]),
        ("hostname", r#"{"VALUE": "circleci.example.com"}"#, &[]),
        ("hostname", r#"{"VALUE": ""}"#, &["error settings_conf.empty"]),
        ("anything", r#"{"vaLue": 1}"#, &["error settings_conf.value_not_string"]),
        ("allow_cluster", r#"{"value": 1}"#, &["error settings_conf.value_not_string"]),
        ("allow_cluster", r#"{"value": "0"}"#, &[]),
        ("allow_cluster", r#"{"value": "yes"}"#, &["error settings_conf.value"]),
        ("hostname", r#"{"value": ""}"#, &["error settings_conf.empty"]),
        ("hostname", "{}", &["error settings_conf.empty"]),
        ("hostname", r#"{"value": "https://circleci.example.com"}"#, &["error settings_conf.value"]),
        ("hostname", r#"{"value": "circleci.example.com:443"}"#, &["error settings_conf.value"]),
        ("hostname", r#"{"value": "circleci.example.com/"}"#, &["error settings_conf.value"]),
        ("hostname", r#"{"value": "circle ci"}"#, &["error settings_conf.value"]),
        ("hostname", r#"{"value": "circle_ci.example.com"}"#, &["error settings_conf.value"]),
        ("hostname", r#"{"value": "circleci..com"}"#, &["error settings_conf.value"]),
        ("hostname", r#"{"value": "-circleci.com"}"#, &["error settings_conf.value"]),
        ("hostname", r#"{"value": "10.0.0.7"}"#, &[]),
        ("hostname", r#"{"value": "circleci"}"#, &[]),
        ("hostname", r#"{"value": "circleci.example.com "}"#, &["warning settings_conf.value"]),
        ("secret_passphrase", r#"{"value": "  "}"#, &["error settings_conf.empty"]),
        ("secret_passphrase", r#"{"data": "kept-elsewhere"}"#, &[]),
        ("ghe_client_secret", r#"{"value": " padded-client-secret"}"#, &["warning settings_conf.value"]),
        ("ghe_type", r#"{"value": "github_type_pubic"}"#, &["error settings_conf.value"]),
        ("ghe_type", r#"{"value": "github_type_enterprise"}"#, &["error settings_conf.missing"]),
        ("storage_backend", r#"{"value": "storage_backend_none"}"#, &["warning settings_conf.value"]),
        ("aws_region", r#"{"value": "us-gov-west-1"}"#, &["warning settings_conf.region"]),
        (
            "aws_region",
            r#"{"value": "us-east-1a"}"#,
            &["error settings_conf.value", "warning settings_conf.region"],
        ),
        ("aws_region", r#"{"value": ""}"#, &["error settings_conf.empty"]),
        ("s3_bucket", r#"{"value": "s3://a-bucket"}"#, &["error settings_conf.value"]),
        ("s3_bucket", r#"{"value": "a-bucket/prefix"}"#, &["error settings_conf.value"]),
        ("sqs_queue_url", r#"{"value": "a-queue"}"#, &["error settings_conf.value"]),
        (
            "sqs_queue_url",
            r#"{"value": "https://sqs.us-east-1.amazonaws.com/"}"#,
            &["error settings_conf.value"],
        ),
        (
            "sqs_queue_url",
            r#"{"value": "https://sqs.eu-west-1.amazonaws.com/1/q"}"#,
            &["warning settings_conf.region"],
        ),
        ("sqs_queue_url", r#"{"value": "https://us-east-1.queue.amazonaws.com/1/q"}"#, &[]),
        ("sqs_queue_url", r#"{"value": "https://queue.amazonaws.com/1/q"}"#, &[]),
        ("sqs_queue_url", r#"{"value": "http://localhost:4566/1/q"}"#, &[]),
        (
            "license_agreement",
            r#"{"value": "license_agreement_disagree"}"#,
            &["error settings_conf.license_agreement"],
        ),
        ("license_agreement", r#"{"value": ""}"#, &["error settings_conf.license_agreement"]),
    ] {
        assert_eq!(set(key, json), expected, "{key}: {json}");
    }
}

#[test]
fn what_must_be_there() {
    for (key, expected) in [
        ("license_agreement", "error settings_conf.license_agreement"),
        ("hostname", "error settings_conf.missing"),
        ("secret_passphrase", "error settings_conf.missing"),
        ("ghe_client_id", "error settings_conf.missing"),
        ("ghe_client_secret", "error settings_conf.missing"),
        ("s3_bucket", "error settings_conf.missing"),
        ("aws_region", "error settings_conf.missing"),
        ("ghe_type", "warning settings_conf.missing"),
        ("storage_backend", "warning settings_conf.missing"),
        ("sqs_queue_url", "warning settings_conf.missing"),
        ("allow_cluster", "warning settings_conf.missing"),
    ] {
        assert_eq!(kinds(&edited(key, None)), [expected], "{key}");
    }
}

#[test]
fn enterprise_github_with_its_domain_is_fine_and_one_with_a_scheme_is_not() {
    let domain = |domain: &str| {
        let to = format!("\"github_type_enterprise\"}},\n \"ghe_domain\": {{\"value\": \"{domain}\"}}");
        findings(&with_edit(FILE, "\"github_type_public\"}", &to))
    };
    assert_eq!(domain("github.example.com"), [""; 0]);
    assert_eq!(domain("https://github.example.com"), ["settings.conf:6:26 error settings_conf.value"]);
}

#[test]
fn a_slip_in_a_name_is_recognised() {
    let fetched = with_edit(FILE, "\"secret_passphrase\"", "\"secret_pasphrase\"");
    let finding = &validate_without_secrets(&fetched).findings[0];
    assert!(finding.cause.next_step.contains("Rename \"secret_pasphrase\""), "{}", finding.cause.next_step);
}
