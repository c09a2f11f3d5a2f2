//! `agent boot --dry-run` against the boot that follows it: stage by stage, the one foretells the other.

use std::collections::BTreeSet;

use serde_json::Value;
use stand_ins::autoscaling::{self, Stage};

use super::harness::agent::Finished;
use super::harness::parts;
use super::scene::{ADDRESS, INSTANCE, SOON, STAGES, Scene, customizations};

/// Runs the dry run, proves that it touched nothing, boots, and compares the outcome of each stage.
#[track_caller]
fn foretold(scene: &Scene, would_end: &str) -> (Value, Finished) {
    let before = scene.world.files();
    let docker = docker_state(scene);
    let (installer_runs, calls) = (scene.installer_runs(), scene.auto_scaling.calls().len());
    let dry = scene.boot().args(["--dry-run", "--output", "json"]).run(SOON);
    dry.assert_code(i32::from(would_end != "in_service"));
    assert_eq!(scene.world.files(), before);
    assert_eq!(docker_state(scene), docker);
    assert_eq!(scene.installer_runs(), installer_runs);
    let made = scene.auto_scaling.calls().split_off(calls);
    assert!(made.iter().all(|call| call.action.starts_with("Describe")), "{made:?}");
    let json: Value = serde_json::from_str(&dry.stdout).unwrap_or_else(|error| panic!("{error}: {dry}"));
    assert_eq!(json["would_end"], would_end, "{json:#}");

    let booted = scene.boots();
    let real = scene.record();
    assert_eq!(outcomes(&json), outcomes(&real), "{json:#}\n{booted}");
    for (dry, real) in stages(&json).iter().zip(stages(&real)) {
        assert_eq!(dry["cause"]["kind"], real["cause"]["kind"], "{json:#}\n{booted}");
        // What a stage found is said in the same words; what it would do, in words of its own.
        let said = dry["detail"].as_str().unwrap_or_default();
        if !said.starts_with("would ") && dry["outcome"] != "done" {
            assert_eq!(dry["detail"], real["detail"], "{json:#}\n{booted}");
        }
    }
    let warned = |json: &Value| -> BTreeSet<String> {
        json["warnings"].as_array().into_iter().flatten().map(|cause| cause["kind"].to_string()).collect()
    };
    assert_eq!(warned(&json), warned(&real), "{json:#}\n{booted}");
    (json, booted)
}

fn stages(json: &Value) -> Vec<Value> {
    json["stages"].as_array().unwrap().clone()
}

/// Two stages may run at the same time, and either may begin first.
fn outcomes(json: &Value) -> Vec<(String, String)> {
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    let mut all: Vec<_> =
        stages(json).iter().map(|stage| (word(&stage["name"]), word(&stage["outcome"]))).collect();
    all.sort_by_key(|(name, _)| STAGES.iter().position(|stage| stage == name));
    all
}

fn would(json: &Value, name: &str) -> String {
    let stage = stages(json).into_iter().find(|stage| stage["name"] == name).unwrap();
    stage["detail"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn on_a_blank_box_in_a_group() {
    let scene = Scene::new();
    let (json, booted) = foretold(&scene, "in_service");
    booted.assert_code(0);
    assert!(would(&json, "place").starts_with("would place /etc/settings.conf"), "{json:#}");
    assert!(would(&json, "install").contains(&format!("local-address={ADDRESS}")), "{json:#}");
    assert_eq!(would(&json, "report"), "would complete hook services-box-launch with CONTINUE");
}

#[test]
fn on_a_blank_box_in_no_group() {
    let scene = Scene::with_group(autoscaling::Config { group: None, ..autoscaling::Config::default() });
    let (json, booted) = foretold(&scene, "in_service");
    booted.assert_code(0);
    assert_eq!(would(&json, "report"), "not in an Auto Scaling group");
}

#[test]
fn on_an_installed_box_and_when_its_source_has_drifted() {
    let scene = Scene::new();
    scene.boots().assert_code(0);
    let (json, booted) = foretold(&scene, "in_service");
    booted.assert_code(0);
    assert_eq!(would(&json, "place"), "all files are in place");
    assert_eq!(would(&json, "install"), "Replicated's containers are running");
    assert_eq!(would(&json, "report"), "no lifecycle action of group services-box is pending");

    scene.put("license.rli", "another licence\n");
    let (json, booted) = foretold(&scene, "in_service");
    booted.assert_code(0);
    assert_eq!(json["warnings"][0]["kind"], "bundle.drift", "{json:#}");
    let text = scene.boot().arg("--dry-run").run(SOON);
    text.assert_code(0).assert_says("differs").assert_says("The boot would end in service.");
}

#[test]
fn on_a_held_box() {
    let scene = Scene::new();
    scene.write_settings("on_failure = \"hold\"");
    let license = scene.s3.get(&scene.bucket, "services-box/license.rli");
    scene.put("license.rli", "<html>login</html>");
    let dry = scene.boot().arg("--dry-run").run(SOON);
    dry.assert_code(1)
        .assert_says("license.rli")
        .assert_says("The boot would fail in stage validate and hold this instance");
    let mut holder = scene.boot().spawn();
    holder.wait_for_line("held:", SOON);
    scene.put("license.rli", license);
    let (_, booted) = foretold(&scene, "in_service");
    booted.assert_code(0);
}

#[test]
fn when_the_fetch_fails_in_a_group_or_in_none() {
    for (group, words) in [
        (
            Some("services-box".to_owned()),
            "complete hook services-box-launch of group services-box with ABANDON",
        ),
        (None, "not report: this instance is not in an Auto Scaling group"),
    ] {
        let scene = Scene::with_group(autoscaling::Config { group, ..autoscaling::Config::default() });
        scene.s3.delete(&scene.bucket, "services-box/license.rli");
        let (json, booted) = foretold(&scene, "failed");
        booted.assert_code(1);
        let said = json["detail"].as_str().unwrap();
        assert!(said.contains("fail in stage fetch") && said.contains(words), "{said}");
    }
}

#[test]
fn when_no_action_is_pending_a_failure_reports_nothing() {
    let scene = Scene::new();
    scene.auto_scaling.place(INSTANCE, Stage::InService, false);
    scene.put("license.rli", "<html>login</html>");
    let (json, booted) = foretold(&scene, "failed");
    booted.assert_code(1);
    let said = json["detail"].as_str().unwrap();
    assert!(said.ends_with("not report: no lifecycle action of group services-box is pending."), "{said}");
}

/// A boot waits for a database; what it would do after that is told all the same.
#[test]
fn when_a_database_does_not_answer() {
    let scene = Scene::new();
    let closed = format!("mongodb://circle:secret-of-the-test@127.0.0.1:{}", parts::free_port());
    let text = customizations(|database| format!("{closed}/{database}"), &super::scene::databases().1.uri());
    scene.put("circle-installation-customizations", text);
    let dry = scene.boot().args(["--dry-run", "--output", "json"]).run(SOON);
    dry.assert_code(1);
    let json: Value = serde_json::from_str(&dry.stdout).unwrap();
    assert_eq!(json["would_end"], "waiting", "{json:#}");
    let databases = stages(&json).into_iter().find(|stage| stage["name"] == "databases").unwrap();
    assert_eq!(
        (&databases["outcome"], &databases["cause"]["kind"]),
        (&"waiting".into(), &"tcp.refused".into())
    );
    assert!(would(&json, "install").starts_with("would run "), "{json:#}");
    let mut booting = scene.boot().spawn();
    booting.wait_for_line("databases  waiting", SOON);
    booting.kill();
}

/// Names and ids of the images, and the containers, running or not.
fn docker_state(scene: &Scene) -> (BTreeSet<String>, String) {
    let images = scene.engine.docker(&["image", "ls", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"]);
    (images.lines().map(str::to_owned).collect(), scene.engine.docker(&["ps", "--all", "--quiet"]))
}
