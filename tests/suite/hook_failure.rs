//! What a failed boot does for the group: it holds the instance, and uploads its report.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::harness::agent::{Agent, Running};
use super::hook::{
    HEARTBEAT, assert_no_more_heartbeats, heartbeats, hook_of, launched, limited, seconds, spoil_the_bundle,
    wait_for_calls,
};
use super::scene::{INSTANCE, SOON, Scene};

/// A boot with `on_failure = "hold"` that has failed.
fn held(scene: &Scene) -> Running {
    scene.write_settings("on_failure = \"hold\"");
    spoil_the_bundle(scene);
    let mut holder = scene.boot().spawn();
    holder.wait_for_line("held:", seconds(60));
    holder
}

#[test]
fn hold_keeps_the_group_waiting_until_a_second_boot_completes() {
    let scene = launched(hook_of(4));
    let holder = held(&scene);
    assert_eq!(scene.record()["outcome"], "held");
    Agent::new(&scene.world).arg("status").run(SOON).assert_code(1).assert_says("held for inspection");
    let before = heartbeats(&scene).len();
    wait_for_calls(&scene, HEARTBEAT, 200, before + 4, seconds(30));
    assert_eq!(scene.state(), "Pending:Wait");
    assert_eq!(scene.completions(), Vec::<String>::new());

    scene.put("license.rli", "a licence as the vendor sent it\n");
    scene.stand_in("timeline", "0 starting started true 503\n4 started started false 200\n");
    let mut second = scene.boot().spawn();
    second.wait_for_line("ready      waiting", SOON);
    // The holder still beats, and must not write its own record over that of the boot that runs.
    while !second.so_far().contains("report     started") {
        assert_eq!(scene.record()["outcome"], "running");
        assert!(!second.has_ended(), "{}", second.so_far());
        std::thread::sleep(Duration::from_millis(5));
    }
    second.finish(SOON).assert_code(0);
    assert_eq!(scene.completions(), ["CONTINUE"]);
    assert_eq!(scene.state(), "InService");
    holder.finish(seconds(20)).assert_code(1);
    assert_eq!(scene.record()["outcome"], "in_service");
    assert_eq!(scene.record()["lifecycle"]["result"], "CONTINUE");
    assert_no_more_heartbeats(&scene, 4);
}

#[test]
fn hold_ends_on_sigterm_and_completes_nothing() {
    let scene = launched(hook_of(4));
    let holder = held(&scene);
    holder.signal(Signal::SIGTERM);
    holder.finish(seconds(10)).assert_code(1);
    assert_no_more_heartbeats(&scene, 4);
    assert_eq!(scene.completions(), Vec::<String>::new());
    assert_eq!(scene.record()["outcome"], "held");
}

#[test]
fn hold_ends_when_the_group_gives_up() {
    let scene = launched(limited(4, 9));
    let holder = held(&scene);
    holder.finish(seconds(30)).assert_code(1);
    assert_eq!(scene.state(), "Terminating");
    assert_eq!(scene.completions(), Vec::<String>::new());
    assert_no_more_heartbeats(&scene, 4);
}

#[test]
fn the_report_of_a_failure_is_uploaded() {
    let scene = Scene::new();
    scene.write_settings(&format!("[report]\nupload = \"s3://{}/reports\"", scene.bucket));
    spoil_the_bundle(&scene);
    let finished = scene.boots();
    finished.assert_code(1);
    let said = format!("s3://{}/", scene.bucket);
    let line = finished.stderr.lines().find(|line| line.contains("report: ")).unwrap();
    let key = line.split(&said).nth(1).unwrap().trim();
    assert!(key.starts_with(&format!("reports/{INSTANCE}/")), "{key}");
    let report: Value = serde_json::from_str(&scene.s3.get(&scene.bucket, key)).unwrap();
    assert_eq!(report["cause"]["kind"], "bundle.invalid");
    assert_eq!(report["instance"]["id"], INSTANCE);
    assert_eq!(report["version"], 1);
}

#[test]
fn a_report_that_cannot_be_uploaded_changes_nothing_else() {
    let scene = Scene::new();
    scene.write_settings("[report]\nupload = \"s3://no-such-bucket/reports\"");
    spoil_the_bundle(&scene);
    scene.boots().assert_code(1).assert_says("no-such-bucket");
    assert_eq!(scene.completions(), ["ABANDON"]);
    assert_eq!(scene.record()["outcome"], "abandoned");
    assert_eq!(scene.record()["cause"]["kind"], "bundle.invalid");
}
