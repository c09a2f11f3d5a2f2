//! What a kind of failure means, as a person, a program and a shell ask for it.

use std::time::Duration;

use serde_json::Value;

use super::harness::agent::{Agent, CommandContext, Finished};

const SOON: Duration = Duration::from_secs(30);

fn explain(arguments: &[&str]) -> Finished {
    Agent::new(&CommandContext::new()).arg("explain").args(arguments).run(SOON)
}

#[test]
fn a_kind_is_explained_in_all_its_parts() {
    let run = explain(&["tls.expired"]);
    run.assert_code(0).assert_says("A certificate of the server has expired.");
    for part in
        ["tls.expired (external)", "Detected  ", "Causes    ", "Confirm   ", "Fix       ", "openssl s_client"]
    {
        run.assert_says(part);
    }
    // As it is pasted from a message, and several at once.
    let run = explain(&["[s3.access_denied,", "Postgres.Standby"]);
    run.assert_code(0)
        .assert_says("s3.access_denied (config)")
        .assert_says("postgres.standby (config or external)");
}

#[test]
fn a_word_that_is_no_kind_exits_with_2_and_names_the_nearest() {
    for (word, meant) in [
        ("tls.expierd", "Did you mean tls.expired?"),
        ("postgres.pasword_rejected", "Did you mean postgres.password_rejected?"),
        ("mongodb.no_primary", "Did you mean mongo.no_primary?"),
        ("password_rejected", "Did you mean postgres.password_rejected?"),
        ("tlss", "Did you mean tls?"),
        ("something.else", "agent explain --list"),
    ] {
        explain(&[word]).assert_code(2).assert_says(meant).assert_says("usage.unknown_kind");
    }
    let run = explain(&["--output", "json", "tls.expierd"]);
    let json: Value = serde_json::from_str(&run.assert_code(2).stdout).unwrap();
    assert_eq!(json["cause"]["kind"], "usage.unknown_kind");
}

#[test]
fn the_list_has_every_published_kind_in_text_and_in_json() {
    let list = explain(&["--list"]);
    let json: Value = serde_json::from_str(&explain(&["--list", "--output", "json"]).stdout).unwrap();
    let schema: Value = serde_json::from_str(&explain(&["--schema"]).stdout).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let faults: Vec<_> = validator.iter_errors(&json).map(|fault| fault.to_string()).collect();
    assert!(faults.is_empty(), "{faults:?}");
    let kinds: Vec<&str> =
        json["kinds"].as_array().unwrap().iter().map(|it| it["kind"].as_str().unwrap()).collect();
    for kind in include_str!("../kinds.txt").lines() {
        assert!(kinds.contains(&kind), "{kind}");
        assert!(list.stdout.lines().any(|line| line.split_whitespace().next() == Some(kind)), "{kind}");
    }
    // One area alone, and what comes of no words at all.
    let area = explain(&["tcp"]);
    area.assert_code(0).assert_says("tcp.refused");
    assert!(!area.stdout.contains("tls.") && area.stdout.lines().count() < 10, "{area}");
    assert_eq!(explain(&[]).stdout, list.stdout);
}

#[test]
fn shells_complete_the_kinds() {
    let run = Agent::new(&CommandContext::new()).args(["completions", "bash"]).run(SOON);
    run.assert_code(0).assert_says("tls.expired").assert_says("vault.sealed");
    let help = explain(&["--help"]);
    assert!(!help.assert_code(0).stdout.contains("vault.sealed"), "the help lists no 448 kinds\n{help}");
}
