//! What a probe cannot see, and what keeps it waiting: another user, a server that hangs, DNS that is dead.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use stand_ins::s3_faults::{self, Config, Fault, Rule};

use super::harness::dns;
use super::probe_checks::{asking, booted, check, report};
use super::scene::SOON;

/// The longest that a probe may take: its deadlines, and what a busy machine adds.
const WHOLE: Duration = Duration::from_secs(90);

fn failures(report: &Value) -> Vec<&Value> {
    report["root_causes"].as_array().unwrap().iter().filter(|root| root["is_failure"] == true).collect()
}

#[test]
fn a_user_who_is_not_root_is_told_what_it_could_not_see() {
    let scene = booted();
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", "--"];
    let finished = asking(&scene, &[]).under("setpriv", nobody).run(SOON);
    let report = report(finished.assert_code(0));
    let etc = scene.world.path("/etc/settings.conf").display().to_string();
    for (id, reason) in [
        ("bundle.valid", format!("needs root to read {etc}: sudo agent probe")),
        ("bundle.drift", format!("needs root to read {etc}: sudo agent probe")),
        ("postgres.main.uri", format!("needs root to read {etc}: sudo agent probe")),
        ("docker.engine", "needs root to ask the Docker engine: sudo agent probe".to_owned()),
        ("app.status", "needs root to ask the Docker engine: sudo agent probe".to_owned()),
        ("replicated.containers", "needs root to ask the Docker engine: sudo agent probe".to_owned()),
    ] {
        let check = check(&report, id);
        assert_eq!((&check["outcome"], &check["reason"]), (&"skipped".into(), &reason.into()), "{id}");
    }
    for id in
        ["instance.identity", "source.license", "host.dns", "bundle.files", "lifecycle.hook", "boot.outcome"]
    {
        assert_eq!(check(&report, id)["outcome"], "good", "{id}: {:#}", check(&report, id));
    }
}

#[test]
fn a_silent_bucket_delays_nobody_and_is_one_cause() {
    let scene = booted();
    let proxy = s3_faults::start(Config::before(&scene.s3.url())).unwrap();
    proxy.rule(Rule::all(Fault::Silent));
    let finished = asking(&scene, &[]).env("AWS_ENDPOINT_URL_S3", proxy.url()).run(WHOLE);
    let report = report(finished.assert_code(1));
    let failures = failures(&report);
    assert_eq!(failures.len(), 1, "{failures:#?}");
    assert_eq!(failures[0]["cause"]["kind"], "s3.unreachable");
    assert_eq!(failures[0]["cause"]["class"], "external");
    let seen_by: BTreeSet<&str> =
        failures[0]["seen_by"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    let objects =
        ["source.customizations", "source.extra", "source.license", "source.replicated", "source.settings"];
    assert_eq!(seen_by, BTreeSet::from(objects));
    // The metadata service tells the time then.
    assert_eq!(check(&report, "host.clock")["outcome"], "good");
    let whole = report["seconds"].as_f64().unwrap();
    for id in ["app.status", "postgres.main.role", "bundle.valid", "replicated.containers", "lifecycle.hook"]
    {
        let check = check(&report, id);
        assert_eq!(check["outcome"], "good", "{check:#}");
        assert!(
            check["seconds"].as_f64().unwrap() < whole / 2.0,
            "{id} took as long as the whole: {whole} s"
        );
    }
}

#[test]
fn dead_dns_is_one_cause_for_everything_that_needs_a_name() {
    let scene = booted();
    let customizations = "/etc/circle-installation-customizations";
    let text = scene.world.read(customizations);
    scene.world.write(customizations, text.replace("@127.0.0.1", "@db.example.com"));
    scene.world.write("/etc/resolv.conf", format!("nameserver {}\n", dns::nobody()));
    let s3 = scene.s3.url().replace("127.0.0.1", "s3.example.com");
    let finished = asking(&scene, &[]).env("AWS_ENDPOINT_URL_S3", s3).run(WHOLE);
    let report = report(finished.assert_code(1));
    let failures = failures(&report);
    assert_eq!(failures.len(), 1, "{failures:#?}");
    assert_eq!(failures[0]["cause"]["kind"], "dns.timeout");
    let seen_by = failures[0]["seen_by"].as_array().unwrap();
    assert_eq!(seen_by[0], "host.dns");
    for id in ["source.settings", "postgres.main.dns", "mongodb.main.dns"] {
        assert!(seen_by.contains(&id.into()), "{id} is not among {seen_by:?}");
    }
    let explained = failures[0]["explains"].as_array().unwrap();
    for id in ["source.valid", "postgres.main.role"] {
        assert!(explained.contains(&id.into()), "{id} is not among {explained:?}");
    }
}
