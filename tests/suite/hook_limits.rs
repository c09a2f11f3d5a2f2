//! When the group waits no longer: the hook's own limit, the deadline of a boot, and a failed boot that is held for a person.

use std::time::Duration;

use nix::sys::signal::Signal;
use stand_ins::autoscaling::{Config, Hook};

use super::harness::agent::{Agent, Running};
use super::hook::{
    HEARTBEAT, assert_no_more_heartbeats, heartbeats, hook, hook_of, launched, spoil_the_bundle,
    wait_for_calls, without_postgres,
};
use super::scene::{SOON, Scene};

/// The hook gives up after so long, whatever heartbeats come.
fn limited(seconds: u64, limit: u64) -> Config {
    let hook = Hook { global_timeout: Some(Duration::from_secs(limit)), ..hook(seconds) };
    Config { hooks: vec![hook], ..Config::default() }
}

#[test]
fn the_hooks_total_limit_ends_the_boot() {
    let scene = launched(limited(4, 7));
    without_postgres(&scene);
    let finished = scene.boots();
    finished.assert_code(3).assert_says("it was in stage databases").assert_silent_about("acknowledged");
    assert_eq!(scene.record()["cause"]["kind"], "boot.deadline");
    assert_eq!(scene.state(), "Terminating");
    assert_eq!(scene.record()["outcome"], "failed");
    assert_no_more_heartbeats(&scene, 4);
}

#[test]
fn the_deadline_abandons_with_what_it_waited_for() {
    let scene = launched(hook_of(4));
    scene.write_settings("deadline = \"4s\"");
    without_postgres(&scene);
    let finished = scene.boots();
    finished.assert_code(3).assert_says("ABANDON acknowledged");
    let cause = scene.record()["cause"].clone();
    assert_eq!((&cause["kind"], &cause["class"]), (&"boot.deadline".into(), &"external".into()));
    let evidence = cause["evidence"].as_array().unwrap();
    assert!(evidence.iter().any(|item| item["name"] == "waited for"), "{cause:#}");
    assert_eq!(scene.completions(), ["ABANDON"]);
    assert_eq!(scene.stage("databases"), "interrupted");
    assert_no_more_heartbeats(&scene, 4);
}

/// A boot with `on_failure = "hold"` that has failed.
fn held(scene: &Scene) -> Running {
    scene.write_settings("on_failure = \"hold\"");
    spoil_the_bundle(scene);
    let mut holder = scene.boot().spawn();
    holder.wait_for_line("held:", SOON);
    holder
}

#[test]
fn hold_keeps_the_group_waiting_until_a_second_boot_completes() {
    let scene = launched(hook_of(4));
    let holder = held(&scene);
    assert_eq!(scene.record()["outcome"], "held");
    Agent::new(&scene.world).arg("status").run(SOON).assert_code(1).assert_says("held for inspection");
    let before = heartbeats(&scene).len();
    wait_for_calls(&scene, HEARTBEAT, 200, before + 4, SOON);
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
    holder.finish(SOON).assert_code(1);
    assert_eq!(scene.record()["outcome"], "in_service");
    assert_eq!(scene.record()["lifecycle"]["result"], "CONTINUE");
    assert_no_more_heartbeats(&scene, 4);
}

#[test]
fn hold_ends_on_sigterm_and_completes_nothing() {
    let scene = launched(hook_of(4));
    let holder = held(&scene);
    holder.signal(Signal::SIGTERM);
    holder.finish(SOON).assert_code(1);
    assert_no_more_heartbeats(&scene, 4);
    assert_eq!(scene.completions(), Vec::<String>::new());
    assert_eq!(scene.record()["outcome"], "held");
}

#[test]
fn hold_ends_when_the_group_gives_up() {
    let scene = launched(limited(4, 9));
    let holder = held(&scene);
    holder.finish(SOON).assert_code(1);
    assert_eq!(scene.state(), "Terminating");
    assert_eq!(scene.completions(), Vec::<String>::new());
    assert_no_more_heartbeats(&scene, 4);
}
