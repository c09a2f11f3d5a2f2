//! What the unit runs at a first boot: the user-data is read from the metadata service, before cloud-init runs it.

use stand_ins::imds;

use super::harness::agent::{Agent, Finished};
use super::scene::{INSTANCE, SOON, Scene};

const ORDER: &str = "/var/lib/boot-agent/order.json";

/// A scene whose instance has this user-data, with SOURCE in it as the scene's.
fn scene(user_data: &str) -> (Scene, imds::Handle) {
    let scene = Scene::new();
    let user_data = user_data.replace("SOURCE", &scene.source()).into_bytes();
    let instance = imds::Instance { user_data: Some(user_data), ..imds::Instance::default() };
    let given = imds::start(imds::Config { instance, ..imds::Config::default() }).unwrap();
    (scene, given)
}

/// `agent boot --unit`, as systemd starts it.
fn unit(scene: &Scene, imds: &imds::Handle) -> Agent {
    Agent::new(&scene.world).args(["boot", "--unit"]).env("AWS_EC2_METADATA_SERVICE_ENDPOINT", imds.url())
}

fn boots(scene: &Scene, imds: &imds::Handle) -> Finished {
    unit(scene, imds).run(SOON)
}

#[test]
fn unit_boots_by_the_user_data_that_it_reads_itself() {
    for user_data in [
        "#!/usr/bin/env -S agent boot SOURCE\n",
        "#!/bin/sh\nexec agent boot --on-failure hold --deadline 90m SOURCE\n",
    ] {
        let (scene, imds) = scene(user_data);
        boots(&scene, &imds).assert_code(0).assert_says("in service after");
        assert_eq!(scene.completions(), ["CONTINUE"]);
        let order: serde_json::Value = serde_json::from_str(&scene.world.read(ORDER)).unwrap();
        assert_eq!((&order["source"], &order["instance"]), (&scene.source().into(), &INSTANCE.into()));
        let deadline = if user_data.contains("90m") { "90m".into() } else { serde_json::Value::Null };
        assert_eq!(order["deadline"], deadline);
        // From now on by what is recorded.
        boots(&scene, &imds).assert_code(0).assert_silent_about("the user-data");
        assert_eq!(scene.installer_runs(), 1);
    }
}

#[test]
fn flags_of_the_user_data_are_the_settings_of_the_boot() {
    let (scene, imds) = scene("#!/bin/sh\nexec agent boot --on-failure hold SOURCE\n");
    scene.put("license.rli", "<html>login</html>");
    let mut held = unit(&scene, &imds).spawn();
    held.wait_for_line("held: the lifecycle action is being kept alive", SOON);
    assert!(scene.completions().is_empty());
    held.signal(nix::sys::signal::Signal::SIGTERM);
    held.finish(SOON);
}

#[test]
fn user_data_that_does_more_is_left_to_cloud_init() {
    for user_data in ["#cloud-config\n", "#!/bin/sh\nsystemctl stop x\nexec agent boot SOURCE\n"] {
        let (scene, imds) = scene(user_data);
        let said = boots(&scene, &imds);
        said.assert_code(0)
            .assert_says("waiting for cloud-init to run it")
            .assert_says("no source configured");
        assert!(!scene.world.exists(ORDER) && scene.nothing_is_placed());
        assert!(scene.auto_scaling.calls().is_empty());
    }
}

#[test]
fn user_data_comes_before_the_source_of_the_image() {
    let (scene, imds) = scene("#!/bin/sh\nexec agent boot SOURCE\n");
    scene.write_settings("source = \"s3://another-bucket/prefix\"\n");
    boots(&scene, &imds).assert_code(0);
    assert_eq!(scene.record()["source"], scene.source());
}

#[test]
fn order_that_is_torn_does_not_end_the_boot() {
    let (scene, imds) = scene("#!/bin/sh\nexec agent boot SOURCE\n");
    scene.world.write(ORDER, "{\"version\": 1, \"sou");
    boots(&scene, &imds).assert_code(0).assert_says("order.unreadable");
    assert_eq!(scene.completions(), ["CONTINUE"]);
}
