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

/// A boot record by another version of the agent, which knew a kind that this one does not.
const ANOTHER_VERSIONS: &str = r#"{
    "version": 1, "agent": "9.9.9", "source": "s3://bucket/box", "outcome": "failed",
    "instance": { "id": "i-0123456789abcdef0" },
    "started_at": "2026-11-25T10:00:00Z", "started_ms": 1795600800000,
    "ended_at": "2026-11-25T10:01:00Z", "ended_ms": 1795600860000,
    "cause": { "kind": "quantum.entangled", "class": "host", "sentence": "The box is entangled.",
        "next_step": "Untangle it.", "quotes": ["quantum.cat", "dns.timeout"] },
    "stages": [{ "name": "fetch", "outcome": "failed", "started_at": "2026-11-25T10:00:00Z", "started_ms": 1795600800000,
        "waits": [{ "cause": { "kind": "quantum.cat", "class": "external", "sentence": "The cat sleeps.", "next_step": "Wait." },
            "since": "2026-11-25T10:00:00Z", "since_ms": 1795600800000,
            "until": "2026-11-25T10:00:30Z", "until_ms": 1795600830000 }],
        "cause": { "kind": "quantum.entangled", "class": "host", "sentence": "The box is entangled.", "next_step": "Untangle it." } }]
}"#;

#[test]
fn a_record_with_kinds_of_another_version_is_read() {
    let world = CommandContext::new();
    world.write("/var/lib/boot-agent/boot.json", ANOTHER_VERSIONS);
    let run = Agent::new(&world).arg("status").run(SOON);
    run.assert_code(1).assert_says("The box is entangled.").assert_says("quantum.entangled");
    run.assert_says("agent explain cause.unknown").assert_silent_about("record.unreadable");
    let run = Agent::new(&world).args(["status", "--output", "json"]).run(SOON);
    let json: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(json["cause"]["kind"], "cause.unknown");
}

#[test]
fn a_failure_says_how_to_have_it_explained_and_does_so_once() {
    let world = CommandContext::new();
    world.write("/bundle/settings.conf", "{\"a\": }");
    let bundle = world.path("/bundle").display().to_string();
    for (arguments, kind) in [
        (&["check", &bundle][..], "agent explain bundle.missing_file"),
        (&["status"], "agent explain record.none"),
        (&["boot"], "agent explain source.missing"),
        (&["probe", "--uri", "postgres://circle@127.0.0.1:1/circle"], "agent explain tcp.refused"),
    ] {
        let run = Agent::new(&world).args(arguments).run(SOON);
        run.assert_says(kind);
        assert_eq!(run.stdout.matches("agent explain ").count(), 1, "{run}");
        let json = Agent::new(&world).args(arguments).args(["--output", "json"]).run(SOON);
        assert!(!json.stdout.contains("agent explain"), "{json}");
    }
}
