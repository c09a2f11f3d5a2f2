//! What the Auto Scaling group is told: the launch hook, its heartbeats, and the ways in which the API fails.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use stand_ins::autoscaling::{Config, Fault, Hook, Outcome, Pacing, Stage};

use super::harness::parts;
use super::scene::{self, INSTANCE, SOON, Scene};

const HOOK: &str = "services-box-launch";
pub(crate) const HEARTBEAT: &str = "RecordLifecycleActionHeartbeat";
const COMPLETE: &str = "CompleteLifecycleAction";

/// The default group, whose hook waits so long for a heartbeat.
pub(crate) fn hook_of(seconds: u64) -> Config {
    Config { hooks: vec![hook(seconds)], ..Config::default() }
}

pub(crate) fn hook(seconds: u64) -> Hook {
    Hook::launching(HOOK).timeout(Duration::from_secs(seconds))
}

/// A scene whose group counts from now, however long the parts took to start.
pub(crate) fn launched(group: Config) -> Scene {
    let scene = Scene::with_group(group);
    scene.auto_scaling.place(INSTANCE, Stage::PendingWait, false);
    scene
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Nothing listens where the bundle says that PostgreSQL is: the boot waits in its databases stage.
pub(crate) fn without_postgres(scene: &Scene) {
    let nobody = format!("postgres://circle:secret@127.0.0.1:{}/circle", parts::free_port());
    let (mongo, _) = scene::databases();
    let customizations = scene::customizations(|database| mongo.uri(database), &nobody);
    scene.put("circle-installation-customizations", customizations);
}

/// What no waiting cures: the boot fails in its validate stage, and nothing is placed.
pub(crate) fn spoil_the_bundle(scene: &Scene) {
    scene.put("license.rli", "<html>login</html>");
}

/// When each heartbeat came that the group took.
pub(crate) fn heartbeats(scene: &Scene) -> Vec<Duration> {
    let calls = scene.auto_scaling.calls_of(HEARTBEAT);
    calls.iter().filter(|call| call.status == Some(200)).map(|call| call.at).collect()
}

/// Fails if any heartbeat comes in what is longer than two thirds of the hook's timeout.
pub(crate) fn assert_no_more_heartbeats(scene: &Scene, timeout: u64) {
    let before = scene.auto_scaling.calls_of(HEARTBEAT).len();
    let look = seconds(timeout) * 2 / 3 + Duration::from_millis(500);
    let came = scene
        .auto_scaling
        .wait_for(look, |calls| calls.iter().filter(|call| call.action == HEARTBEAT).count() > before);
    assert!(!came, "a heartbeat after the end");
}

pub(crate) fn wait_for_calls(scene: &Scene, action: &str, status: u16, count: usize, within: Duration) {
    let came = scene.auto_scaling.wait_for(within, |calls| {
        calls.iter().filter(|call| call.action == action && call.status == Some(status)).count() >= count
    });
    assert!(came, "no {count} calls of {action} answered {status}: {:#?}", scene.auto_scaling.calls());
}

/// Whether every call was about this instance, this group and this hook.
fn assert_addressed(scene: &Scene, action: &str) {
    for call in scene.auto_scaling.calls_of(action) {
        assert_eq!(call.parameter("InstanceId"), INSTANCE);
        assert_eq!(call.parameter("AutoScalingGroupName"), "services-box");
        assert_eq!(call.parameter("LifecycleHookName"), HOOK);
        assert_eq!(call.region.as_deref(), Some("us-east-1"));
    }
}

#[test]
fn hook_gets_continue_and_heartbeats_end_with_the_boot() {
    let scene = launched(hook_of(4));
    scene.stand_in("timeline", "0 starting started true 503\n4 started started false 200\n");
    scene.boots().assert_code(0);
    assert_eq!(scene.completions(), ["CONTINUE"]);
    assert_eq!(scene.state(), "InService");
    assert!(heartbeats(&scene).len() >= 4, "{:?}", heartbeats(&scene));
    assert_addressed(&scene, HEARTBEAT);
    assert_addressed(&scene, COMPLETE);
    let lifecycle = &scene.record()["lifecycle"];
    assert_eq!((&lifecycle["result"], &lifecycle["hook"]), (&"CONTINUE".into(), &HOOK.into()));
    assert!(lifecycle["acknowledged_at"].is_string());
    assert_no_more_heartbeats(&scene, 4);
}

#[test]
fn hook_gets_abandon_when_the_boot_fails() {
    let scene = Scene::new();
    spoil_the_bundle(&scene);
    scene.boots().assert_code(1).assert_says("ABANDON acknowledged");
    assert_eq!(scene.completions(), ["ABANDON"]);
    assert_addressed(&scene, COMPLETE);
    assert_eq!(scene.state(), "Terminating");
    assert_eq!(scene.record()["outcome"], "abandoned");
    assert_eq!(scene.record()["lifecycle"]["result"], "ABANDON");
}

#[test]
fn no_group_is_said_and_boots() {
    let scene = Scene::with_group(Config { group: None, ..Config::default() });
    scene.boots().assert_code(0).assert_says("not in an Auto Scaling group");
    assert_eq!(scene.auto_scaling.calls_of(COMPLETE).len() + scene.auto_scaling.calls_of(HEARTBEAT).len(), 0);
    assert_eq!(scene.record()["outcome"], "in_service");
    assert_eq!(scene.record()["lifecycle"], Value::Null);
}

#[test]
fn no_hook_is_said_and_boots() {
    let scene = Scene::with_group(Config { hooks: Vec::new(), ..Config::default() });
    scene.boots().assert_code(0).assert_says("no lifecycle action pending");
    assert_eq!(scene.auto_scaling.calls_of(COMPLETE).len() + scene.auto_scaling.calls_of(HEARTBEAT).len(), 0);
    assert_eq!(scene.record()["outcome"], "in_service");
}

#[test]
fn no_hook_and_no_group_fail_without_telling_anybody() {
    for group in [
        Config { group: None, ..Config::default() },
        Config { hooks: vec![Hook::terminating("goodbye")], ..Config::default() },
    ] {
        let scene = Scene::with_group(group);
        spoil_the_bundle(&scene);
        scene.boots().assert_code(1).assert_silent_about("ABANDON");
        assert_eq!(scene.completions(), Vec::<String>::new());
        assert_eq!(scene.record()["outcome"], "failed");
    }
}

#[test]
fn several_hooks_need_a_setting() {
    let hooks = vec![hook(3600), Hook::launching("inventory")];
    let scene = Scene::with_group(Config { hooks, ..Config::default() });
    scene.boots().assert_code(1).assert_says("services-box-launch, inventory").assert_says("lifecycle.hook");
    let cause = scene.record()["cause"].clone();
    assert_eq!((&cause["kind"], &cause["class"]), (&"lifecycle.hook_ambiguous".into(), &"config".into()));
    assert_eq!(scene.completions(), Vec::<String>::new());
    assert!(scene.nothing_is_placed());

    scene.write_settings(&format!("[lifecycle]\nhook = \"{HOOK}\""));
    scene.boots().assert_code(0);
    assert_eq!(scene.completions(), ["CONTINUE"]);
    assert_addressed(&scene, COMPLETE);
    // The other one is somebody else's to complete.
    assert_eq!(scene.state(), "Pending:Wait");
}

#[test]
fn a_hook_that_is_not_there_is_named() {
    let scene = Scene::new();
    scene.write_settings("[lifecycle]\nhook = \"services-box-lunch\"");
    scene.boots().assert_code(1).assert_says("services-box-lunch").assert_says(HOOK);
    assert_eq!(scene.record()["cause"]["kind"], "lifecycle.no_such_hook");
}

#[test]
fn group_and_hook_by_setting_need_no_describe() {
    let scene = Scene::new();
    for action in ["DescribeAutoScalingInstances", "DescribeLifecycleHooks"] {
        scene.auto_scaling.inject(Fault::Deny(action.into()));
    }
    scene.boots().assert_code(1).assert_says("autoscaling:DescribeAutoScalingInstances");
    assert_eq!(scene.record()["cause"]["kind"], "autoscaling.access_denied");

    scene.write_settings(&format!("[lifecycle]\ngroup = \"services-box\"\nhook = \"{HOOK}\""));
    scene.boots().assert_code(0);
    assert_eq!(scene.completions(), ["CONTINUE"]);
    assert_eq!(scene.state(), "InService");
    // A reboot finds nothing pending, and may not ask why.
    scene.boots().assert_code(0).assert_says("completed at an earlier boot");
    assert_eq!(scene.record()["outcome"], "in_service");
    assert_eq!(scene.installer_runs(), 1);
}

#[test]
fn an_instance_that_is_being_terminated_is_not_booted() {
    let scene = Scene::new();
    scene.auto_scaling.place(INSTANCE, Stage::Terminating, false);
    scene.boots().assert_code(1).assert_says("already terminating this instance");
    assert_eq!(scene.record()["cause"]["kind"], "lifecycle.leaving");
    assert_eq!(scene.record()["outcome"], "failed");
    assert_eq!(scene.completions(), Vec::<String>::new());
    assert!(scene.nothing_is_placed());
}

#[test]
fn a_hook_that_expired_during_the_boot_is_no_success() {
    // Long enough for a busy machine to have asked the group before.
    let scene = launched(hook_of(15));
    scene.auto_scaling.inject(Fault::Deny(HEARTBEAT.into()));
    scene.stand_in("timeline", "0 starting started true 503\n20 started started false 200\n");
    scene.boots().assert_code(1).assert_says("terminating this instance").assert_silent_about("acknowledged");
    assert_eq!(scene.state(), "Terminating");
    let record = scene.record();
    assert_eq!(record["cause"]["kind"], "lifecycle.leaving");
    assert_eq!(record["outcome"], "failed");
    assert_eq!(record["lifecycle"]["result"], Value::Null);
    assert_eq!(record["instance"]["completed_at"], Value::Null);
}

#[test]
fn a_failure_after_the_group_went_on_is_not_called_abandoned() {
    let hook = Hook { default_result: Outcome::Continue, ..hook(12) };
    let scene = launched(Config { hooks: vec![hook], ..Config::default() });
    scene.auto_scaling.inject(Fault::Deny(HEARTBEAT.into()));
    scene.write_settings("[databases]\nwait = \"15s\"");
    without_postgres(&scene);
    scene.boots().assert_code(3).assert_says("InService").assert_silent_about("acknowledged");
    assert_eq!(scene.record()["outcome"], "failed");
    assert_eq!(scene.record()["lifecycle"]["result"], Value::Null);
}

#[test]
fn propagation_race_is_retried_until_accepted() {
    let scene = Scene::new();
    // The first is met by the first heartbeat.
    scene.auto_scaling.inject(Fault::Race(4));
    scene.boots().assert_code(0);
    let answers: Vec<_> =
        scene.auto_scaling.calls_of(COMPLETE).iter().map(|call| call.status.unwrap()).collect();
    assert_eq!(answers, [400, 400, 400, 200]);
    assert_eq!(scene.state(), "InService");
    assert_eq!(scene.record()["lifecycle"]["result"], "CONTINUE");
}

#[test]
fn heartbeats_go_on_after_a_propagation_race() {
    let scene = launched(hook_of(4));
    scene.auto_scaling.inject(Fault::Race(2));
    without_postgres(&scene);
    let running = scene.boot().spawn();
    wait_for_calls(&scene, HEARTBEAT, 200, 2, SOON);
    assert_eq!(scene.auto_scaling.calls_of(HEARTBEAT)[0].status, Some(400));
    running.signal(Signal::SIGTERM);
    running.finish(SOON).assert_code(1);
}

#[test]
fn an_instance_still_pending_is_booted() {
    let pacing = Pacing { pending: seconds(3), ..Pacing::default() };
    let scene = Scene::with_group(Config { pacing, ..hook_of(4) });
    scene.auto_scaling.place(INSTANCE, Stage::Pending, false);
    assert_eq!(scene.state(), "Pending");
    scene.boots().assert_code(0);
    assert_eq!(scene.auto_scaling.calls_of(HEARTBEAT)[0].status, Some(400));
    assert_eq!(scene.state(), "InService");
    assert_eq!(scene.completions().last().map(String::as_str), Some("CONTINUE"));
}

#[test]
fn throttling_is_waited_out_everywhere() {
    let scene = Scene::new();
    for action in ["DescribeAutoScalingInstances", "DescribeLifecycleHooks", HEARTBEAT, COMPLETE] {
        scene.auto_scaling.inject(Fault::Throttle(action.into(), 2));
    }
    scene.boots().assert_code(0).assert_says("lifecycle  waiting");
    assert_eq!(scene.completions(), ["CONTINUE"; 3]);
    assert_eq!(scene.state(), "InService");
}

#[test]
fn auto_scaling_down_for_a_while_is_waited_for() {
    let scene = Scene::new();
    scene.auto_scaling.inject(Fault::Fail("*".into(), 4));
    scene.boots().assert_code(0).assert_says("lifecycle  waiting");
    assert_eq!(scene.state(), "InService");
}

#[test]
fn auto_scaling_down_for_good_ends_at_its_deadline() {
    let scene = Scene::new();
    scene.auto_scaling.inject(Fault::Fail("*".into(), 1000));
    scene.write_settings("[lifecycle]\nwait = \"2s\"");
    scene.boots().assert_code(3);
    let cause = scene.record()["cause"].clone();
    assert_eq!((&cause["kind"], &cause["class"]), (&"autoscaling.unavailable".into(), &"external".into()));
    assert_eq!(scene.record()["outcome"], "failed");
}

#[test]
fn completing_denied_names_the_action_and_the_statement() {
    let scene = Scene::new();
    scene.auto_scaling.inject(Fault::Deny(COMPLETE.into()));
    let finished = scene.boots();
    finished.assert_code(1).assert_silent_about("in service after");
    finished.assert_says("is not allowed to call autoscaling:CompleteLifecycleAction");
    finished.assert_says(
        r#"{"Effect":"Allow","Action":"autoscaling:CompleteLifecycleAction","Resource":"arn:aws:autoscaling:us-east-1:*:autoScalingGroup:*:autoScalingGroupName/services-box"}"#,
    );
    let record = scene.record();
    assert_eq!(record["cause"]["kind"], "autoscaling.access_denied");
    assert_eq!(record["cause"]["class"], "config");
    assert_eq!(record["outcome"], "failed");
    assert_eq!(record["instance"]["completed_at"], Value::Null);
    assert_eq!(scene.state(), "Pending:Wait");
    // With the statement added, the same box goes into service without another installation.
    scene.auto_scaling.cure();
    scene.boots().assert_code(0);
    assert_eq!(scene.installer_runs(), 1);
}

#[test]
fn warm_pool_completes_each_of_its_two_launches() {
    let scene = Scene::with_group(Config { warmed: true, ..Config::default() });
    assert_eq!(scene.state(), "Warmed:Pending:Wait");
    scene.boots().assert_code(0);
    assert_eq!(scene.state(), "Warmed:Stopped");
    scene.auto_scaling.place(INSTANCE, Stage::PendingWait, false);
    scene.boots().assert_code(0);
    assert_eq!(scene.completions(), ["CONTINUE", "CONTINUE"]);
    assert_eq!(scene.state(), "InService");
    assert_eq!(scene.installer_runs(), 1);
}

#[test]
fn heartbeats_come_at_a_third_of_the_timeout_until_the_boot_is_stopped() {
    let scene = launched(hook_of(6));
    without_postgres(&scene);
    let running = scene.boot().spawn();
    wait_for_calls(&scene, HEARTBEAT, 200, 5, SOON);
    // The group would have given the box up without them.
    assert_eq!(scene.state(), "Pending:Wait");
    running.signal(Signal::SIGTERM);
    running.finish(SOON).assert_code(1);
    // On time as a rule: one that comes late, on a busy machine, may be close to the next.
    let came = heartbeats(&scene);
    let mut intervals: Vec<Duration> = came.windows(2).map(|pair| pair[1] - pair[0]).collect();
    intervals.sort_unstable();
    assert!((seconds(1)..seconds(4)).contains(&intervals[intervals.len() / 2]), "{came:?}");
    assert_no_more_heartbeats(&scene, 6);
    assert_eq!(scene.completions(), Vec::<String>::new());
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
