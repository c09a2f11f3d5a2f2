//! The main job: one command takes a blank instance to CONTINUE.

use super::harness::agent::Agent;
use super::scene::{PLACED, SOON, Scene};

#[test]
fn boot_takes_a_blank_instance_to_continue() {
    let scene = Scene::new();
    scene.boots().assert_code(0).assert_says("in service after");
    for path in PLACED {
        assert_eq!(scene.world.mode(path), 0o640, "{path}");
    }
    assert_eq!(scene.completions(), ["CONTINUE"]);
    assert_eq!(scene.state(), "InService");
    assert_eq!(scene.record()["outcome"], "in_service");
    assert_eq!(scene.installer_runs(), 1);
}

#[test]
fn boot_again_re_checks_and_installs_nothing() {
    let scene = Scene::new();
    scene.boots().assert_code(0);
    scene.boots().assert_code(0);
    assert_eq!(scene.installer_runs(), 1);
    assert_eq!((scene.stage("place"), scene.stage("install")), ("skipped".into(), "skipped".into()));
    assert_eq!(scene.completions(), ["CONTINUE"]);

    scene.put("settings.conf", super::scene::SETTINGS.replace("circleci.example.com", "ci.example.com"));
    scene.boots().assert_code(0).assert_says("bundle.drift");
    assert!(!scene.world.read("/etc/settings.conf").contains("\"ci.example.com\""));
    scene.boot().arg("--force").run(SOON).assert_code(0);
    assert!(scene.world.read("/etc/settings.conf").contains("\"ci.example.com\""));
    assert_eq!(scene.installer_runs(), 2);
}

#[test]
fn boot_of_an_installed_box_waits_for_systemd_to_start_its_containers() {
    let scene = Scene::new();
    scene.boots().assert_code(0);
    scene.engine.docker(&["kill", "replicated", "replicated-ui"]);
    let mut running = scene.boot().spawn();
    running.wait_for_line("replicated.container_down", SOON);
    scene.engine.docker(&["start", "replicated", "replicated-ui"]);
    running.finish(SOON).assert_code(0);
    assert_eq!(scene.installer_runs(), 1);
}

#[test]
fn boot_with_three_mistakes_names_all_and_places_nothing() {
    let scene = Scene::new();
    scene.put("settings.conf", super::scene::SETTINGS.replace("license_agreement_agree", "no"));
    scene.put(
        "replicated.conf",
        super::scene::REPLICATED.replace("console-password-of-the-test", "<password>"),
    );
    scene.put("license.rli", "<html>login</html>");
    let finished = scene.boots();
    finished.assert_code(1);
    for words in ["settings.conf:", "replicated.conf:3:", "license.rli"] {
        finished.assert_says(words);
    }
    assert!(scene.nothing_is_placed());
    assert_eq!(scene.completions(), ["ABANDON"]);
    assert_eq!(scene.record()["cause"]["kind"], "bundle.invalid");
    Agent::new(&scene.world).arg("status").run(SOON).assert_code(1).assert_says("ABANDON acknowledged");
}
