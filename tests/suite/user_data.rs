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

const CLOUD_INIT: &str = "/run/cloud-init/status.json";

/// How cloud-init's network stage stands.
fn network_stage(scene: &Scene, finished: &str) {
    let status = format!(
        "{{\"v1\": {{\"init\": {{\"errors\": [], \"start\": 1795617606.16, \"finished\": {finished}}}}}}}"
    );
    // As cloud-init does, so that no reader sees half of it.
    scene.world.write("/run/cloud-init/status.json.new", status);
    std::fs::rename(scene.world.path("/run/cloud-init/status.json.new"), scene.world.path(CLOUD_INIT))
        .unwrap();
}

#[test]
fn boot_begins_while_cloud_init_grows_the_disk_and_waits_for_that_where_it_needs_it() {
    let (scene, imds) = scene("#!/bin/sh\nexec agent boot SOURCE\n");
    network_stage(&scene, "null");
    let mut unit = unit(&scene, &imds).spawn();
    unit.wait_for_line("databases  done after", SOON);
    // Not silent about it for long.
    unit.wait_for_line("cloud_init.running", SOON);
    assert!(!scene.nothing_is_placed() && scene.installer_runs() == 0, "{}", unit.so_far());
    let record = scene.record();
    assert_eq!(record["stages"].as_array().unwrap().last().unwrap()["name"], "images");
    network_stage(&scene, "1795617606.56");
    unit.finish(SOON).assert_code(0).assert_says("in service after");
    let stages = scene.record()["stages"].as_array().unwrap().clone();
    let images = stages.iter().find(|stage| stage["name"] == "images").unwrap();
    assert_eq!(images["waits"][0]["cause"]["kind"], "cloud_init.running");
}

#[test]
fn what_fails_before_cloud_init_has_set_the_machine_up_is_tried_again_after_it() {
    let (scene, imds) = scene("#!/bin/sh\nexec agent boot SOURCE\n");
    network_stage(&scene, "null");
    // A group that cloud-init is yet to create.
    let groups = scene.world.read("/etc/group");
    scene.world.write("/etc/group", groups.replace("docker:", "docker-of-another:"));
    let mut unit = unit(&scene, &imds).spawn();
    unit.wait_for_line("host.no_docker_group", SOON);
    scene.world.write("/etc/group", groups);
    network_stage(&scene, "1795617606.56");
    unit.finish(SOON).assert_code(0).assert_says("in service after");
    assert_eq!(scene.completions(), ["CONTINUE"]);
}

#[test]
fn files_for_a_volume_are_placed_after_cloud_init_has_mounted_it() {
    let (scene, imds) = scene("#!/bin/sh\nexec agent boot SOURCE\n");
    scene.write_settings("[[extra]]\npath = \"/data/circle/keys\"\nobject = \"keys\"\n");
    scene.put("keys", "a key");
    network_stage(&scene, "null");
    let mut unit = unit(&scene, &imds).spawn();
    unit.wait_for_line("cloud_init.running", SOON);
    assert!(scene.nothing_is_placed() && !scene.world.exists("/data/circle/keys"));
    network_stage(&scene, "1795617606.56");
    unit.finish(SOON).assert_code(0);
    assert!(scene.world.exists("/data/circle/keys") && !scene.nothing_is_placed());
}

#[test]
fn settings_that_cloud_init_writes_are_those_of_the_boot() {
    let (scene, imds) = scene("#cloud-config\nwrite_files: []\n");
    network_stage(&scene, "null");
    let mut unit = unit(&scene, &imds).spawn();
    unit.wait_for_line("cloud_init.running", SOON);
    scene.write_settings(&format!("source = \"{}\"\n", scene.source()));
    network_stage(&scene, "1795617606.56");
    unit.finish(SOON).assert_code(0).assert_says("in service after");
    assert_eq!(scene.record()["source"], scene.source());
}
